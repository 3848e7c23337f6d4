/* SPDX-License-Identifier: Apache-2.0 */

/* The file of the built-in store, as seen from the loop: opened, lost, opened again.
 *
 * While it cannot be used, requests wait for as long as they have, watches are silent, and no lease
 * runs out, since nobody could have kept it alive: each has its full time when the file is back.
 * Trouble is told once per cause.
 */

#include <errno.h>
#include <stdio.h>

#include "lib/store/store-sqlite-private.h"

enum {
        REOPEN_US = US_PER_S,     /* between two attempts to open the file */
        BUSY_US = 20 * US_PER_MS, /* until what another process held up is tried again */
};

/* The module stays once it is loaded. */
static const SqliteEngine *loaded_engine;

int sqlite_store_load(const SqliteEngine **ret_engine, const char *module, Diag *diag) {
        const ModuleHead *head;
        int r = 0;

        if (!loaded_engine) {
                r = module_load(&head, module ? module : FLEET_SQLITE_MODULE, SQLITE_ENGINE_SYMBOL,
                                "the built-in store", diag);
                if (r == 0)
                        loaded_engine = container_of(head, SqliteEngine, head);
        }
        *ret_engine = loaded_engine;
        return r;
}

/* ---- leases of the file */

static void sqlite_drop_leases(SqliteStore *sqlite) {
        while (sqlite->leases.n_leases > 0) {
                StoreLease *last = sqlite->leases.all[sqlite->leases.n_leases - 1];

                store_leases_remove(&sqlite->leases, last);
                free(container_of(last, SqliteLease, lease));
        }
}

typedef struct LeaseReading {
        SqliteStore *sqlite; /* borrowed */
        bool has_left;       /* the file says of some what they have left */
} LeaseReading;

static int on_lease(const SqliteFileLease *found, void *userdata) {
        LeaseReading *reading = userdata;
        SqliteStore *sqlite = reading->sqlite;
        SqliteLease *lease = calloc(1, sizeof(*lease));
        uint64_t full_us;

        if (!lease)
                return -ENOMEM;

        reading->has_left |= found->left_us >= 0;
        lease->lease.id = found->id;
        lease->lease.ttl_s = found->ttl_s;
        full_us = store_lease_ttl_us(&lease->lease);
        if (store_leases_add(&sqlite->leases, &lease->lease,
                             found->left_us >= 0 && (uint64_t)found->left_us < full_us
                                     ? (uint64_t)found->left_us
                                     : full_us) < 0) {
                free(lease);
                return -ENOMEM;
        }
        return 0;
}

/* The number of the file, which is drawn when it has just been made. */
static int sqlite_identify(SqliteStore *sqlite, Diag *diag) {
        int64_t drawn;

        do
                env_random_bytes(loop_env(sqlite->loop), &drawn, sizeof(drawn));
        while (drawn == 0);
        return sqlite->engine->identify(sqlite->file, drawn, &sqlite->identity, diag);
}

/* What the leases have left stands in the file from one closing in good order to the next opening
 * only: after a crash nobody knows how often they were renewed, and each has its full time. */
static int sqlite_keep_leases(SqliteStore *sqlite, bool is_closing, Diag *diag) {
        uint64_t now_us = loop_now_us(sqlite->loop);
        int r;

        if (sqlite->leases.n_leases == 0)
                return 0;

        r = sqlite->engine->begin(sqlite->file, true, diag);
        for (size_t i = 0; r == 0 && i < sqlite->leases.n_leases; i++) {
                const StoreLease *lease = sqlite->leases.all[i];
                uint64_t left_us = lease->deadline_us > now_us ? lease->deadline_us - now_us : 0;

                r = sqlite->engine->lease_keep(sqlite->file, lease->id,
                                               is_closing ? (int64_t)left_us : -1, diag);
        }
        if (r == 0)
                r = sqlite->engine->commit(sqlite->file, diag);
        if (r < 0)
                sqlite->engine->rollback(sqlite->file);
        return r;
}

static int sqlite_read_leases(SqliteStore *sqlite, Diag *diag) {
        LeaseReading reading = { .sqlite = sqlite };
        int r;

        /* Before they are entered: going on gives each its full time. */
        sqlite_drop_leases(sqlite);
        store_leases_pause(&sqlite->leases, false);
        r = sqlite->engine->leases(sqlite->file, on_lease, &reading, diag);
        if (r < 0)
                return r;

        /* A disk that is full is still to be read from. */
        return reading.has_left ? sqlite_keep_leases(sqlite, false, diag) : 0;
}

/* ---- trouble */

static void sqlite_tell_connection(SqliteStore *sqlite) {
        for (ListNode *n = list_first(&sqlite->clients); n; n = list_next(&sqlite->clients, n))
                loop_defer(sqlite->loop, &container_of(n, StoreSqlite, node)->connection);
}

void sqlite_store_note_trouble(SqliteStore *sqlite, const char *why) {
        bool is_news = why && !streq(sqlite->trouble, why);

        (void)snprintf(sqlite->trouble, sizeof(sqlite->trouble), "%s", why ? why : "");
        if (!is_news)
                return;

        for (ListNode *n = list_first(&sqlite->clients); n; n = list_next(&sqlite->clients, n)) {
                Store *store = &container_of(n, StoreSqlite, node)->store;

                /* A connection that is lost tells why by itself. */
                if (sqlite->file || !store_is_connected(store))
                        store_tell_trouble(store, why);
        }
}

void sqlite_store_retry(SqliteStore *sqlite) {
        timer_set_in(sqlite->loop, &sqlite->retry, sqlite->file ? BUSY_US : REOPEN_US);
}

void sqlite_store_lose(SqliteStore *sqlite, int r, const Diag *diag) {
        if (sqlite->file) {
                sqlite_store_hold_watches(sqlite);
                sqlite->engine->close(sqlite->file);
                sqlite->file = NULL;
                store_leases_pause(&sqlite->leases, true);
                sqlite_tell_connection(sqlite);
        }
        sqlite_store_note_trouble(sqlite,
                                  diag->message[0] ? diag->message : store_outcome_to_string(r));
        sqlite_store_retry(sqlite);
}

/* ---- opening and closing */

void sqlite_store_open(SqliteStore *sqlite) {
        Diag diag = { 0 };
        int r;

        r = sqlite_store_load(&sqlite->engine, sqlite->module, &diag);
        if (r == 0)
                r = sqlite->engine->open(&sqlite->file, sqlite->path, &diag);
        if (r == 0)
                r = sqlite_identify(sqlite, &diag);
        if (r == 0)
                r = sqlite_read_leases(sqlite, &diag);
        if (r < 0) {
                sqlite_store_lose(sqlite, r, &diag);
                return;
        }

        sqlite_store_note_trouble(sqlite, NULL);
        sqlite_tell_connection(sqlite);
        sqlite_store_resume_watches(sqlite);
        sqlite_store_wake(sqlite);
}

void sqlite_store_shut(SqliteStore *sqlite) {
        if (sqlite->file) {
                Diag diag;

                /* Where that does not work, they have their full time again. */
                (void)sqlite_keep_leases(sqlite, true, &diag);
                sqlite->engine->close(sqlite->file);
        }
        sqlite_drop_leases(sqlite);
}

/* ---- looking into one that nobody uses */

int sqlite_store_has_lasting(const SqliteStoreOptions *options, bool *ret_has, Diag *diag) {
        const StoreCommand all = { .kind = STORE_COMMAND_RANGE,
                                   .key = { .data = "", .n_bytes = 1 },
                                   .end = { .data = "", .n_bytes = 1 },
                                   .limit = STORE_PAGE_KEYS,
                                   .keys_only = true };
        const SqliteEngine *engine;
        StoreAnswer answer = { 0 };
        SqliteFile *file;
        bool has;
        int r;

        r = sqlite_store_load(&engine, options->module, diag);
        if (r == 0)
                r = engine->open(&file, options->path, diag);
        if (r < 0)
                return r;

        r = engine->command(file, &all, &answer, diag);
        has = answer.more;
        for (size_t i = 0; r == 0 && !has && i < answer.rows.n_kvs; i++)
                has = answer.rows.kvs[i].lease == 0;
        if (r == 0)
                *ret_has = has;
        store_answer_done(&answer);
        engine->close(file);
        return r;
}
