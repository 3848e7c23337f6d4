/* SPDX-License-Identifier: Apache-2.0 */

/* A word is a name or a path: its basename with a unit suffix is the name, and the same with the
 * word's directory in front is the file. Both are computed once, here, so that every command means
 * the same unit by the same word. A unit named twice is meant once: a request that held it twice
 * would be refused. What a pattern means only the cluster can say (resolve.h).
 */

#include "fleetctl/unit-args.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fleetctl/expand.h"
#include "lib/base/buf.h"
#include "lib/base/hash-map.h"
#include "lib/base/macro.h"
#include "lib/unit/unit-name.h"

static void closep(int *fd) {
        if (*fd >= 0)
                (void)close(*fd);
}

int unit_args_path(const char *word, const char *name, char **ret_path) {
        const char *slash = strrchr(word, '/');
        int n_directory = slash ? (int)(slash - word + 1) : 0;

        return asprintf(ret_path, "%.*s%s", n_directory, word, name) < 0 ? -ENOMEM : 0;
}

static int add_path(const char *word, const char *name, StrList *paths) {
        _cleanup_(freep) char *path = NULL;
        int r;

        r = unit_args_path(word, name, &path);
        return r < 0 ? r : strlist_add(paths, path);
}

static int add_word(const char *word, HashMap *seen, HashNode *node, StrList *names,
                    StrList *paths) {
        bool is_pattern = unit_pattern_is_one(word);
        _cleanup_(freep) char *name = NULL;
        int r;

        r = is_pattern ? 0 : unit_name_mangle(word, &name);
        if (r < 0)
                return r;
        if (hash_map_get(seen, is_pattern ? word : name))
                return 0;

        r = strlist_add(names, is_pattern ? word : name);
        if (r < 0)
                return r;
        r = hash_map_put(seen, node, names->items[names->n_items - 1]);
        if (r < 0 || !paths)
                return r;
        return is_pattern ? strlist_add(paths, word) : add_path(word, name, paths);
}

static int add_words(const StrList *words, StrList *names, StrList *paths) {
        _cleanup_(hash_map_done) HashMap seen = { 0 };
        _cleanup_(freep) HashNode *nodes = NULL;
        int r = 0;

        nodes = calloc(words->n_items ? words->n_items : 1, sizeof(*nodes));
        if (!nodes)
                return -ENOMEM;

        for (size_t i = 0; r == 0 && i < words->n_items; i++)
                r = add_word(words->items[i], &seen, &nodes[i], names, paths);
        return r;
}

int unit_args_read(const StrList *words, StrList *ret_names, StrList *ret_paths, Diag *diag) {
        _cleanup_(strlist_done) StrList expanded = { 0 };
        int r = 0;

        for (size_t i = 0; r == 0 && i < words->n_items; i++)
                r = expand_braces(words->items[i], &expanded, diag);
        return r < 0 ? r : add_words(&expanded, ret_names, ret_paths);
}

int unit_args_template_path(const char *path, char **ret_path) {
        const char *slash = strrchr(path, '/');
        _cleanup_(freep) char *name = NULL;
        int r;

        r = unit_name_template(slash ? slash + 1 : path, &name);
        return r < 0 ? r : unit_args_path(path, name, ret_path);
}

int unit_args_load_file(const char *path, UnitFile **ret_file, Diag *diag) {
        _cleanup_(buf_done) Buf text = buf_make(UNIT_FILE_MAX_BYTES);
        _cleanup_(closep) int fd = -1;
        struct stat status;
        int r;

        /* Opening a FIFO would wait for its writer, for ever perhaps. */
        fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG))
                return UNIT_ARGS_E_NO_FILE;
        if (fd < 0 || fstat(fd, &status) < 0) {
                r = -errno;
                return diag_set(diag, r, "%s", strerror(-r));
        }
        if (S_ISDIR(status.st_mode))
                return UNIT_ARGS_E_NO_FILE;
        if (!S_ISREG(status.st_mode))
                return diag_set(diag, -EINVAL, "it is no regular file");

        r = buf_append_fd(&text, fd);
        if (r == -ENOBUFS)
                return diag_set(diag, -EFBIG, "the file is larger than %d bytes",
                                UNIT_FILE_MAX_BYTES);
        if (r < 0)
                return r == -ENOMEM ? r : diag_set(diag, r, "%s", strerror(-r));

        r = unit_file_parse(text.data ? text.data : "", text.n_bytes, ret_file, diag);
        if (r == 0 && (*ret_file)->n_options == 0) {
                *ret_file = unit_file_free(*ret_file);
                return diag_set(diag, -EBADMSG, "the file sets no options");
        }
        return r;
}
