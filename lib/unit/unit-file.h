/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A unit file as fleet sees it: a list of options, each in a section. Parsing, the canonical form,
 * and the hash that identifies the content across the cluster (contract section 5).
 */

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/buf.h"
#include "lib/base/diag.h"
#include "lib/base/macro.h"

enum {
        UNIT_HASH_BYTES = 41, /* a hash as hex text, with its NUL */
        UNIT_HASH_SHORT = 7,  /* characters of the short form that tables show */
        UNIT_FILE_MAX_BYTES =
                1024 * 1024, /* largest file accepted: it must fit one store request of 1.5 MiB */
};

/* One option, in file order. The strings are owned by the UnitFile. */
typedef struct UnitOption {
        char *section; /* name of the section, without brackets */
        char *name;    /* trimmed, not empty unless the file says so */
        char *value;   /* trimmed; a continued line keeps its backslash and newline; may be empty */
} UnitOption;

typedef struct UnitFile UnitFile;

/* The options of a unit file. */
struct UnitFile {
        UnitOption *options; /* owned array, with room for the next power of two; unit_file_add()
                                appends */
        size_t n_options;    /* 0 for a file without options, which the API refuses */
};

/* Make a file without options. Returns 0 or -ENOMEM. */
int unit_file_new(UnitFile **ret_file);

/* Takes NULL; returns NULL. */
UnitFile *unit_file_free(UnitFile *file);
DEFINE_CLEANUP(UnitFile, unit_file_free)

/* Append an option; the strings are copied. Returns 0 or -ENOMEM. */
int unit_file_add(UnitFile *file, const char *section, const char *name, const char *value);

/* Parse text by the rules of contract section 5.1 (lines of any length). Returns 0, -ENOMEM, -EFBIG
 * (over UNIT_FILE_MAX_BYTES) or -EBADMSG, for which `diag` (may be NULL) names the line and the
 * fault: "line 3: ...". A NUL byte in the text is -EBADMSG. */
int unit_file_parse(const char *text, size_t n_bytes, UnitFile **ret_file, Diag *diag);

/* Append the canonical form (contract section 5.4) to `out`. Errors as buf_append(). */
int unit_file_print(const UnitFile *file, Buf *out);

/* The SHA-1 of the canonical form, as 40 lower-case hex digits (contract section 5.4). Returns 0 or
 * -ENOMEM. */
int unit_file_hash(const UnitFile *file, char ret_hash[UNIT_HASH_BYTES]);

/* The SHA-1 of any bytes, as hex: what unit_file_hash() is over the canonical form. */
void unit_text_hash(const void *bytes, size_t n_bytes, char ret_hash[UNIT_HASH_BYTES]);

/* Is this 40 lower-case hex digits? */
bool unit_hash_is_valid(const char *hash);

/* The value of the first option of this name in this section, or NULL. Borrowed. */
const char *unit_file_get(const UnitFile *file, const char *section, const char *name);

/* Has the file a section of this name with at least one option (systemd enables a unit that has
 * [Install])? */
bool unit_file_has_section(const UnitFile *file, const char *section);

/* Are two files the same by content (equal canonical forms)? Files whose options come in different
 * orders have to be sorted first: when there is no memory for that, they count as different. */
bool unit_file_equals(const UnitFile *a, const UnitFile *b);
