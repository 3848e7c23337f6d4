/* SPDX-License-Identifier: Apache-2.0 */

/* The built-in store, served, and nothing else: `store-server FILE ADDRESS [REVISIONS]`. It
 * stands where a test starts an etcd, and keeps so many revisions of history. SIGTERM ends it in
 * good order.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/serve/serve.h"

static Loop *loop;

static void on_closed(Serve *serve, void *userdata) {
        (void)serve;
        (void)userdata;
        loop_exit(loop, EXIT_SUCCESS);
}

static void on_term(void *userdata) {
        serve_close(userdata, on_closed, NULL);
}

static int run(const char *path, char *address, int64_t revisions) {
        const SqliteStoreOptions store_options = { .path = path,
                                                   .module = SQLITE_MODULE,
                                                   .history_revisions = revisions };
        const StrList addresses = { .items = &address, .n_items = 1 };
        const ServeOptions options = { .addresses = &addresses };
        SqliteStore *sqlite = NULL;
        Serve *serve = NULL;
        Diag diag = { 0 };
        void *term;
        int r;

        r = loop_new(&loop, env_system());
        if (r == 0)
                r = sqlite_store_new(&sqlite, loop, &store_options);
        if (r == 0)
                r = serve_new(&serve, loop, sqlite, &options, &diag);
        if (r < 0) {
                (void)fprintf(stderr, "store-server: %s\n",
                              diag.message[0] ? diag.message : strerror(-r));
                return EXIT_FAILURE;
        }

        term = loop_signal_new(loop, SIGTERM, on_term, serve);
        r = loop_run(loop);
        loop_signal_free(term);
        serve_free(serve);
        sqlite_store_free(sqlite);
        loop_free(loop);
        return r;
}

int main(int argc, char **argv) {
        if (argc < 3 || argc > 4) {
                (void)fprintf(stderr, "Usage: store-server FILE ADDRESS:PORT [REVISIONS]\n");
                return EXIT_FAILURE;
        }
        return run(argv[1], argv[2], argc > 3 ? strtoll(argv[3], NULL, 10) : 0);
}
