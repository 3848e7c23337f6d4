/* SPDX-License-Identifier: Apache-2.0 */

/* The folder of unit files.
 *
 * A file is written under a name that starts with a dot and then renamed, so that systemd, which
 * may read it at any time, never sees half of one; nothing is synced to a disk: after a power loss
 * the folder is empty or as old as it likes, and the agent writes what differs again.
 *
 * The mark ".reload" covers the moment between changing the file of a unit that systemd has loaded
 * and the reload that makes systemd look: a daemon that dies in between would otherwise take the
 * new file for what systemd has.
 *
 * Names that start with a dot are never units. The folder is never held open: an operator may
 * remove it and a later write makes it anew.
 */

#include "lib/host/unit-directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/unit/unit-name.h"

enum {
        DIRECTORY_MODE = 0755, /* contract section 7.2 */
        FILE_MODE = 0644,
};

static const char stale_mark[] = ".reload";
static const char temporary_suffix[] = ".new";

static void fd_closep(int *fd) {
        if (*fd >= 0)
                (void)close(*fd);
}

static void directory_closep(DIR **stream) {
        if (*stream)
                (void)closedir(*stream);
}

int unit_directory_init(UnitDirectory *directory, const char *path) {
        size_t n_bytes = strlen(path);

        if (path[0] != '/')
                return -EINVAL;

        if (asprintf(&directory->path, "%s%s", path, path[n_bytes - 1] == '/' ? "" : "/") < 0) {
                directory->path = NULL;
                return -ENOMEM;
        }
        return 0;
}

void unit_directory_done(UnitDirectory *directory) {
        free(TAKE(directory->path));
}

int unit_directory_create(const UnitDirectory *directory) {
        _cleanup_(freep) char *path = strdup(directory->path);
        struct stat st;

        if (!path)
                return -ENOMEM;

        for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                if (mkdir(path, DIRECTORY_MODE) < 0 && errno != EEXIST)
                        return -errno;
                *slash = '/';
        }

        if (stat(path, &st) < 0)
                return -errno;
        return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

/* The path of a file; `prefix` and `suffix` go around the name. */
static int file_path(const UnitDirectory *directory, const char *prefix, const char *name,
                     const char *suffix, char ret_path[PATH_MAX]) {
        int n = snprintf(ret_path, PATH_MAX, "%s%s%s%s", directory->path, prefix, name, suffix);

        return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static int read_all(int fd, char *text, size_t n_bytes) {
        size_t n_read = 0;

        while (n_read < n_bytes) {
                ssize_t n = read(fd, text + n_read, n_bytes - n_read);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                n_read += (size_t)n;
        }
        return 0;
}

int unit_directory_read(const UnitDirectory *directory, const char *name, char **ret_text,
                        size_t *ret_n_bytes) {
        _cleanup_(freep) char *text = NULL;
        _cleanup_(fd_closep) int fd = -1;
        char path[PATH_MAX];
        struct stat st;
        int r;

        r = file_path(directory, "", name, "", path);
        if (r < 0)
                return r;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        if (st.st_size > UNIT_FILE_MAX_BYTES)
                return -EFBIG;

        text = malloc((size_t)st.st_size + 1);
        if (!text)
                return -ENOMEM;
        r = read_all(fd, text, (size_t)st.st_size);
        if (r < 0)
                return r;

        text[st.st_size] = '\0';
        *ret_text = TAKE(text);
        *ret_n_bytes = (size_t)st.st_size;
        return 0;
}

static int write_all(int fd, const char *text, size_t n_bytes) {
        while (n_bytes > 0) {
                ssize_t n = write(fd, text, n_bytes);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                text += n;
                n_bytes -= (size_t)n;
        }
        return 0;
}

static int write_file(const char *path, const char *text, size_t n_bytes) {
        _cleanup_(fd_closep) int fd = -1;
        int r;

        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
        if (fd < 0)
                return -errno;

        r = write_all(fd, text, n_bytes);
        /* The umask may have taken bits away that systemd and people need. */
        if (r >= 0 && fchmod(fd, FILE_MODE) < 0)
                r = -errno;
        return r;
}

int unit_directory_write(const UnitDirectory *directory, const char *name, const char *text,
                         size_t n_bytes) {
        char path[PATH_MAX], temporary[PATH_MAX];
        int r;

        r = file_path(directory, "", name, "", path);
        if (r >= 0)
                r = file_path(directory, ".", name, temporary_suffix, temporary);
        if (r < 0)
                return r;

        r = write_file(temporary, text, n_bytes);
        if (r == -ENOENT) {
                r = unit_directory_create(directory);
                if (r >= 0)
                        r = write_file(temporary, text, n_bytes);
        }
        if (r >= 0 && rename(temporary, path) < 0)
                r = -errno;
        if (r < 0)
                (void)unlink(temporary);
        return r;
}

int unit_directory_remove(const UnitDirectory *directory, const char *name) {
        char path[PATH_MAX];
        int r;

        r = file_path(directory, "", name, "", path);
        if (r < 0)
                return r;
        return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

int unit_directory_set_stale(const UnitDirectory *directory, bool is_stale) {
        char path[PATH_MAX];
        int r;

        if (!is_stale)
                return unit_directory_remove(directory, stale_mark);

        r = file_path(directory, "", stale_mark, "", path);
        if (r < 0)
                return r;
        return write_file(path, "", 0);
}

bool unit_directory_is_stale(const UnitDirectory *directory) {
        char path[PATH_MAX];

        return file_path(directory, "", stale_mark, "", path) >= 0 && access(path, F_OK) >= 0;
}

void unit_directory_remove_link(const UnitDirectory *directory, const char *link_directory,
                                const char *name) {
        char link[PATH_MAX], target[PATH_MAX], path[PATH_MAX];
        int n = snprintf(link, sizeof(link), "%s/%s", link_directory, name);
        ssize_t n_target;

        if (n < 0 || (size_t)n >= sizeof(link) || file_path(directory, "", name, "", path) < 0)
                return;

        n_target = readlink(link, target, sizeof(target) - 1);
        if (n_target < 0)
                return;
        target[n_target] = '\0';
        if (streq(target, path))
                (void)unlink(link);
}

static bool is_temporary(const char *name) {
        size_t n = strlen(name), n_suffix = strlen(temporary_suffix);

        return name[0] == '.' && n > n_suffix && streq(name + n - n_suffix, temporary_suffix);
}

static int scan_file(const UnitDirectory *directory, const struct dirent *item,
                     int (*fn)(const char *name, const char hash[UNIT_HASH_BYTES], void *userdata),
                     void *userdata) {
        _cleanup_(freep) char *text = NULL;
        char hash[UNIT_HASH_BYTES] = "";
        size_t n_bytes;
        int r;

        if (is_temporary(item->d_name))
                (void)unit_directory_remove(directory, item->d_name);
        if (item->d_name[0] == '.' || unit_name_check(item->d_name, NULL) < 0)
                return 0;

        r = unit_directory_read(directory, item->d_name, &text, &n_bytes);
        if (r == -ENOMEM)
                return r;
        if (r >= 0)
                unit_text_hash(text, n_bytes, hash);
        return fn(item->d_name, hash, userdata);
}

int unit_directory_scan(const UnitDirectory *directory,
                        int (*fn)(const char *name, const char hash[UNIT_HASH_BYTES],
                                  void *userdata),
                        void *userdata) {
        _cleanup_(directory_closep) DIR *stream = NULL;
        struct dirent *item;
        int r;

        stream = opendir(directory->path);
        if (!stream)
                return -errno;

        while ((errno = 0, item = readdir(stream))) {
                if (item->d_type == DT_DIR)
                        continue;
                r = scan_file(directory, item, fn, userdata);
                if (r != 0)
                        return r;
        }
        return -errno;
}
