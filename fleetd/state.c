/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetd/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fleetd/file.h"
#include "lib/base/macro.h"

enum { TEXT_MAX_BYTES = 4096 };

static int path_in(const State *state, const char *name, char **ret_path) {
        return asprintf(ret_path, "%s/%s", state->directory, name) < 0 ? -ENOMEM : 0;
}

int state_init(State *ret_state, const char *path) {
        State state = { 0 };

        path = path && *path ? path : "/var/lib/fleet";
        state.directory = strndup(path, strcspn(path, ":"));
        if (!state.directory || path_in(&state, "store.db", &state.store_path) < 0) {
                state_done(&state);
                return -ENOMEM;
        }

        *ret_state = state;
        return 0;
}

void state_done(State *state) {
        free(state->directory);
        free(state->store_path);
        *state = (State){ 0 };
}

int state_recall(const State *state, char **ret_text, Diag *diag) {
        _cleanup_(freep) char *path = NULL, *text = NULL;
        int r;

        if (path_in(state, "store", &path) < 0)
                return -ENOMEM;

        r = file_read(path, TEXT_MAX_BYTES, &text, NULL);
        if (r == -ENOENT || r == -ENOMEM)
                return r;
        if (r < 0)
                return diag_set(diag, r, "cannot read %s: %s", path, strerror(-r));

        *ret_text = strdup(text_trim(text));
        return *ret_text ? 0 : -ENOMEM;
}

static int write_whole(const char *path, const char *text) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        int r = 0;

        if (fd < 0)
                return -errno;
        if (dprintf(fd, "%s\n", text) < 0 || fsync(fd) < 0)
                r = -errno;
        if (close(fd) < 0 && r == 0)
                r = -errno;
        return r;
}

int state_remember(const State *state, const char *text, Diag *diag) {
        _cleanup_(freep) char *path = NULL, *fresh = NULL, *last = NULL;
        int r;

        if (state_recall(state, &last, NULL) == 0 && streq(last, text))
                return 0;
        if (path_in(state, "store", &path) < 0 || path_in(state, "store.new", &fresh) < 0)
                return -ENOMEM;

        if (mkdir(state->directory, 0700) < 0 && errno != EEXIST)
                return diag_set(diag, -errno, "cannot make %s: %s", state->directory,
                                strerror(errno));
        r = write_whole(fresh, text);
        if (r == 0 && rename(fresh, path) < 0)
                r = -errno;
        return r < 0 ? diag_set(diag, r, "cannot write %s: %s", path, strerror(-r)) : 0;
}
