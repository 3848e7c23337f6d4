/* SPDX-License-Identifier: Apache-2.0 */

/* The private folder. It is a static object because a signal handler must find it, and all its
 * paths are formatted beforehand because a handler may only unlink. A socket's path must be short
 * (unix(7); ssh even binds one with 17 more characters), so the folder is where paths are short.
 */

#include "fleetctl/scratch.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/macro.h"

enum {
        FOLDER_MAX_BYTES = 64,
        PATH_MAX_BYTES = FOLDER_MAX_BYTES + 24,
};

static const char *const file_names[_SCRATCH_MAX] = {
        [SCRATCH_ASK] = "ask",       [SCRATCH_ASKPASS] = "fleetctl-askpass",
        [SCRATCH_CONFIG] = "config", [SCRATCH_MASTER] = "master",
        [SCRATCH_API] = "api",       [SCRATCH_CONNECTED] = "up",
};
static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

static char folder[FOLDER_MAX_BYTES]; /* empty while there is none */
static char paths[_SCRATCH_MAX][PATH_MAX_BYTES];

void scratch_close(void) {
        if (folder[0] == '\0')
                return;
        for (size_t i = 0; i < _SCRATCH_MAX; i++)
                (void)unlink(paths[i]);
        (void)rmdir(folder);
        folder[0] = '\0';
}

static void on_signal(int number) {
        scratch_close();
        (void)raise(number); /* SA_RESETHAND has restored what it does by itself */
}

/* A signal that is ignored, as under nohup(1), stays so. */
static void catch_signals(void) {
        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                const struct sigaction action = { .sa_handler = on_signal,
                                                  .sa_flags = (int)SA_RESETHAND };
                struct sigaction old;

                if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
                        (void)sigaction(signals[i], &action, NULL);
        }
}

static int make_in(const char *parent) {
        int n = snprintf(folder, sizeof(folder), "%s/fleetctl-XXXXXX", parent);

        if (n < 0 || (size_t)n >= sizeof(folder)) {
                folder[0] = '\0';
                return -ENAMETOOLONG;
        }
        if (mkdtemp(folder))
                return 0;
        folder[0] = '\0';
        return -errno;
}

int scratch_open(Diag *diag) {
        const char *runtime = getenv("XDG_RUNTIME_DIR");
        int r = -ENOENT;

        if (folder[0] != '\0')
                return 0;

        if (runtime && runtime[0] == '/')
                r = make_in(runtime);
        if (r < 0)
                r = make_in("/tmp");
        if (r < 0)
                return diag_set(diag, r, "unable to make a private folder in /tmp: %s",
                                strerror(-r));

        for (size_t i = 0; i < _SCRATCH_MAX; i++)
                (void)snprintf(paths[i], sizeof(paths[i]), "%s/%s", folder, file_names[i]);
        catch_signals();
        return 0;
}

const char *scratch_path(ScratchFile file) {
        assert(folder[0] != '\0');

        return paths[file];
}
