/* SPDX-License-Identifier: Apache-2.0 */

/* The folder of unit files. */

#include "lib/host/unit-directory.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/strlist.h"
#include "tests/unit/fault.h"

/* A folder of its own in a temporary one. */
typedef struct Place {
        char root[32];
        char path[64];
        UnitDirectory directory;
} Place;

static void place_open(Place *place) {
        (void)snprintf(place->root, sizeof(place->root), "/tmp/fleet-units-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(place->root));
        (void)snprintf(place->path, sizeof(place->path), "%s/a/b", place->root);
        ck_assert_int_eq(unit_directory_init(&place->directory, place->path), 0);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where) {
        (void)st;
        (void)kind;
        (void)where;
        return remove(path);
}

static void place_close(Place *place) {
        unit_directory_done(&place->directory);
        ck_assert_int_eq(nftw(place->root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void place_path(const Place *place, const char *name, char path[128]) {
        (void)snprintf(path, 128, "%s/%s", place->path, name);
}

static mode_t mode_of(const char *path) {
        struct stat st;

        ck_assert_int_eq(lstat(path, &st), 0);
        return st.st_mode & 07777;
}

/* The folder and its parents are made with mode 0755, files with 0644, whatever the umask; doing it
 * again is fine. */
START_TEST(test_modes) {
        mode_t mask = umask(077);
        char path[128];
        Place place;

        place_open(&place);
        (void)umask(022);
        ck_assert_int_eq(unit_directory_create(&place.directory), 0);
        ck_assert_int_eq(unit_directory_create(&place.directory), 0);
        ck_assert_uint_eq(mode_of(place.path), 0755);
        (void)umask(077);
        ck_assert_int_eq(unit_directory_write(&place.directory, "a.service", "x", 1), 0);
        place_path(&place, "a.service", path);
        ck_assert_uint_eq(mode_of(path), 0644);
        place_close(&place);
        (void)umask(mask);
}
END_TEST

/* What is written is read back, replaced as a whole, and removed; removing what is not there is
 * fine. */
START_TEST(test_write_read_remove) {
        size_t n_bytes = 0;
        Place place;
        char *text;

        place_open(&place);
        ck_assert_int_eq(unit_directory_create(&place.directory), 0);
        ck_assert_int_eq(unit_directory_write(&place.directory, "a.service", "longer text", 11), 0);
        ck_assert_int_eq(unit_directory_write(&place.directory, "a.service", "short", 5), 0);
        ck_assert_int_eq(unit_directory_read(&place.directory, "a.service", &text, &n_bytes), 0);
        ck_assert_str_eq(text, "short");
        ck_assert_uint_eq(n_bytes, 5);
        free(text);
        ck_assert_int_eq(unit_directory_remove(&place.directory, "a.service"), 0);
        ck_assert_int_eq(unit_directory_remove(&place.directory, "a.service"), 0);
        ck_assert_int_eq(unit_directory_read(&place.directory, "a.service", &text, &n_bytes),
                         -ENOENT);
        place_close(&place);
}
END_TEST

/* A folder that somebody removed is made anew by the next write. */
START_TEST(test_write_makes_the_folder) {
        Place place;

        place_open(&place);
        ck_assert_int_eq(unit_directory_write(&place.directory, "a.service", "x", 1), 0);
        place_close(&place);
}
END_TEST

/* A write that cannot be done leaves no file behind. */
START_TEST(test_failed_write_leaves_nothing) {
        char path[128];
        Place place;

        place_open(&place);
        ck_assert_int_eq(unit_directory_create(&place.directory), 0);
        place_path(&place, "a.service", path);
        ck_assert_int_eq(mkdir(path, 0755), 0);
        ck_assert_int_lt(unit_directory_write(&place.directory, "a.service", "x", 1), 0);
        place_path(&place, ".a.service.new", path);
        ck_assert_int_lt(access(path, F_OK), 0);
        place_close(&place);
}
END_TEST

/* Links and folders are no unit files, and too large ones are refused. */
START_TEST(test_odd_files) {
        char path[128];
        size_t n_bytes;
        Place place;
        char *text;

        place_open(&place);
        ck_assert_int_eq(unit_directory_create(&place.directory), 0);
        place_path(&place, "link.service", path);
        ck_assert_int_eq(symlink("/etc/passwd", path), 0);
        ck_assert_int_eq(unit_directory_read(&place.directory, "link.service", &text, &n_bytes),
                         -ELOOP);
        place_path(&place, "big.service", path);
        ck_assert_int_eq(unit_directory_write(&place.directory, "big.service", "x", 1), 0);
        ck_assert_int_eq(truncate(path, UNIT_FILE_MAX_BYTES + 1), 0);
        ck_assert_int_eq(unit_directory_read(&place.directory, "big.service", &text, &n_bytes),
                         -EFBIG);
        place_path(&place, "fifo.service", path);
        ck_assert_int_eq(mkfifo(path, 0600), 0);
        ck_assert_int_eq(unit_directory_read(&place.directory, "fifo.service", &text, &n_bytes),
                         -EINVAL);
        place_close(&place);
}
END_TEST

static int note(const char *name, const char hash[UNIT_HASH_BYTES], void *userdata) {
        char line[128];

        (void)snprintf(line, sizeof(line), "%s %s", name, hash);
        return strlist_add(userdata, line);
}

static bool contains(const StrList *list, const char *string) {
        for (size_t i = 0; i < list->n_items; i++)
                if (streq(list->items[i], string))
                        return true;
        return false;
}

/* A scan finds every unit file with the hash of its bytes, an unreadable one without, and nothing
 * else; what an interrupted write left is removed. */
START_TEST(test_scan) {
        StrList found = { 0 };
        char path[128];
        Place place;

        place_open(&place);
        ck_assert_int_eq(unit_directory_scan(&place.directory, note, &found), -ENOENT);
        ck_assert_int_eq(unit_directory_create(&place.directory), 0);
        ck_assert_int_eq(unit_directory_write(&place.directory, "a.service", "abc", 3), 0);
        ck_assert_int_eq(unit_directory_write(&place.directory, "b.target", "", 0), 0);
        ck_assert_int_eq(unit_directory_write(&place.directory, "notes.txt", "abc", 3), 0);
        ck_assert_int_eq(unit_directory_write(&place.directory, ".c.service.new", "abc", 3), 0);
        ck_assert_int_eq(unit_directory_set_stale(&place.directory, true), 0);
        place_path(&place, "l.service", path);
        ck_assert_int_eq(symlink("nowhere", path), 0);
        place_path(&place, "d.service", path);
        ck_assert_int_eq(mkdir(path, 0755), 0);

        ck_assert_int_eq(unit_directory_scan(&place.directory, note, &found), 0);
        ck_assert_uint_eq(found.n_items, 3);
        ck_assert(contains(&found, "a.service a9993e364706816aba3e25717850c26c9cd0d89d"));
        ck_assert(contains(&found, "b.target da39a3ee5e6b4b0d3255bfef95601890afd80709"));
        ck_assert(contains(&found, "l.service "));
        place_path(&place, ".c.service.new", path);
        ck_assert_int_lt(access(path, F_OK), 0);
        ck_assert(unit_directory_is_stale(&place.directory));
        strlist_done(&found);
        place_close(&place);
}
END_TEST

/* The mark is set and cleared, any number of times. */
START_TEST(test_stale_mark) {
        Place place;

        place_open(&place);
        ck_assert_int_eq(unit_directory_create(&place.directory), 0);
        ck_assert(!unit_directory_is_stale(&place.directory));
        for (int i = 0; i < 2; i++)
                ck_assert_int_eq(unit_directory_set_stale(&place.directory, true), 0);
        ck_assert(unit_directory_is_stale(&place.directory));
        for (int i = 0; i < 2; i++)
                ck_assert_int_eq(unit_directory_set_stale(&place.directory, false), 0);
        ck_assert(!unit_directory_is_stale(&place.directory));
        place_close(&place);
}
END_TEST

/* Only a link to the folder's own file is removed. */
START_TEST(test_remove_link) {
        char link[64], target[128];
        Place place;

        place_open(&place);
        (void)snprintf(link, sizeof(link), "%s/a.service", place.root);
        place_path(&place, "a.service", target);
        ck_assert_int_eq(symlink("/elsewhere/a.service", link), 0);
        unit_directory_remove_link(&place.directory, place.root, "a.service");
        ck_assert_uint_eq(mode_of(link), 0777);
        ck_assert_int_eq(unlink(link), 0);
        ck_assert_int_eq(symlink(target, link), 0);
        unit_directory_remove_link(&place.directory, place.root, "a.service");
        ck_assert_int_lt(access(link, F_OK), 0);
        ck_assert_int_eq(errno, ENOENT);
        place_close(&place);
}
END_TEST

/* A path that is not absolute is refused: the daemon's working directory means nothing. */
START_TEST(test_relative_path) {
        UnitDirectory directory;

        ck_assert_int_eq(unit_directory_init(&directory, "units"), -EINVAL);
        ck_assert_int_eq(unit_directory_init(&directory, ""), -EINVAL);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_modes,
                test_write_read_remove,
                test_write_makes_the_folder,
                test_odd_files,
                test_failed_write_leaves_nothing,
                test_scan,
                test_stale_mark,
                test_remove_link,
                test_relative_path,
        };

        return tests_run("unit directory", tests, ELEMENTSOF(tests));
}
