/* SPDX-License-Identifier: Apache-2.0 */

/* Memory of an idle daemon.
 *
 * The heap: glibc keeps up to 128 kB at its top, and more once something large was freed
 * (mallopt(3)); both are set to a few pages, and what is free between what is in use is given back
 * after work.
 *
 * The code: the dynamic linker touches every library that we and libsystemd name, and the kernel
 * maps the pages around each touch; most of them (compression, cryptography) are never used again.
 * Pages of segments that cannot be written hold nothing but what is in the file, so they are
 * dropped, and those in use come back by themselves from the page cache. On Debian 12 that is half
 * of 4 MB.
 */

#include "fleetd/memory.h"

#include <link.h>
#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
        HEAP_SLACK_BYTES = 32 * 1024, /* more at the top of the heap is given back */
        HEAP_GROWTH_BYTES = 4096,     /* beyond what is asked for */
        HEAP_MAPPED_BYTES = 64 *
                            1024, /* from this size on, an allocation is a mapping of its own */
};

void memory_save(void) {
        (void)mallopt(M_ARENA_MAX, 1);
        (void)mallopt(M_TOP_PAD, HEAP_GROWTH_BYTES);
        (void)mallopt(M_TRIM_THRESHOLD, HEAP_SLACK_BYTES);
        (void)mallopt(M_MMAP_THRESHOLD, HEAP_MAPPED_BYTES);
}

/* The dynamic linker tells addresses as numbers. */
static void *pointer_to(uintptr_t address) {
        const union {
                uintptr_t number;
                void *pointer;
        } both = { .number = address };

        return both.pointer;
}

/* Was the object's code changed as it was loaded (DT_TEXTREL)? Then its pages are not those of the
 * file. */
static bool has_changed_code(const struct dl_phdr_info *object) {
        for (size_t i = 0; i < object->dlpi_phnum; i++) {
                const ElfW(Phdr) *header = &object->dlpi_phdr[i];

                if (header->p_type != PT_DYNAMIC)
                        continue;
                for (const ElfW(Dyn) *entry = pointer_to(object->dlpi_addr + header->p_vaddr);
                     entry->d_tag != DT_NULL; entry++)
                        if (entry->d_tag == DT_TEXTREL ||
                            (entry->d_tag == DT_FLAGS && entry->d_un.d_val & DF_TEXTREL))
                                return true;
        }
        return false;
}

static int release_object(struct dl_phdr_info *object, size_t n_bytes, void *userdata) {
        const uintptr_t page_mask = ~((uintptr_t) * (const long *)userdata - 1);

        (void)n_bytes;
        if (has_changed_code(object))
                return 0;

        for (size_t i = 0; i < object->dlpi_phnum; i++) {
                const ElfW(Phdr) *header = &object->dlpi_phdr[i];
                uintptr_t start = (object->dlpi_addr + header->p_vaddr) & page_mask;
                uintptr_t end = (object->dlpi_addr + header->p_vaddr + header->p_memsz) & page_mask;

                if (header->p_type == PT_LOAD && !(header->p_flags & PF_W) && end > start)
                        (void)madvise(pointer_to(start), end - start, MADV_DONTNEED);
        }
        return 0;
}

void memory_release(void) {
        long page_bytes = sysconf(_SC_PAGESIZE);

        (void)malloc_trim(0);
        (void)dl_iterate_phdr(release_object, &page_bytes);
}
