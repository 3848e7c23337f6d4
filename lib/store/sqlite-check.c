/* SPDX-License-Identifier: Apache-2.0 */

/* Is a file of the built-in store sound? SQLite's own check first, of its pages and indexes; then
 * what the tables promise one another. All of it is as of one moment.
 */

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "lib/store/sqlite-private.h"

enum { FINDINGS_MAX = 10 /* that are told of each kind */ };

/* What must find nothing. Each names a key, a lease or a revision. */
static const struct {
        const char *what;
        const char *sql;
        int since; /* the version of the tables; 0 = all */
} invariants[] = {
        { "the key %s is not as its last change left it",
          "SELECT live.key FROM live LEFT JOIN (SELECT key, max(id) AS id, created, lease, version "
          "FROM change GROUP BY key) AS last ON last.key = live.key "
          "WHERE last.id IS NOT live.change OR last.created <> live.created "
          "OR last.lease <> live.lease OR last.version <> live.version" },
        { "the key %s is missing, although its last change did not delete it",
          "SELECT key FROM (SELECT key, max(id), created FROM change GROUP BY key) AS last "
          "WHERE created > 0 AND NOT EXISTS (SELECT 1 FROM live WHERE live.key = last.key)" },
        { "a change of the key %s contradicts itself",
          "SELECT key FROM change WHERE id < 0 OR created < 0 OR created > id >> 20 "
          "OR (created = 0 AND (version <> 0 OR lease <> 0 OR value IS NOT NULL)) "
          "OR (created > 0 AND (value IS NULL OR version < 1 "
          "OR (version = 1) <> (created = id >> 20)))" },
        { "the versions of the key %s do not follow one another",
          "SELECT key FROM (SELECT key, created, version, lag(created) OVER each AS before, "
          "lag(version) OVER each AS last FROM change WINDOW each AS (PARTITION BY key ORDER BY "
          "id)) "
          "WHERE created > 0 AND before = created AND version <> last + 1" },
        { "a change of the key %s does not know the one before it",
          "SELECT key FROM (SELECT key, previous, lag(id) OVER each AS before, "
          "lag(created) OVER each AS born FROM change "
          "WINDOW each AS (PARTITION BY key ORDER BY id)) "
          "WHERE iif(before IS NULL, previous IN (SELECT id FROM change), "
          "previous IS NOT iif(born > 0, before, NULL))",
          .since = 2 },
        { "the key %s hangs on a lease that does not exist",
          "SELECT key FROM live WHERE lease <> 0 "
          "AND NOT EXISTS (SELECT 1 FROM lease WHERE id = live.lease)" },
        { "the time of the lease %s is out of bounds",
          "SELECT printf('%x', id) FROM lease WHERE ttl_s < 1 OR left_us < 0" },
        { "it was compacted to revision %s, which it has not reached",
          "SELECT compacted.value FROM setting AS compacted WHERE compacted.name = 'compacted' "
          "AND compacted.value > (SELECT max(coalesce((SELECT max(id) >> 20 FROM change), 1), "
          "coalesce((SELECT value FROM setting WHERE name = 'floor'), 1)))" },
        { "of the history from revision %s on, revisions are missing",
          "SELECT first FROM (SELECT max(value, 1) AS first FROM setting "
          "WHERE name IN ('compacted', 'floor') ORDER BY value DESC LIMIT 1) "
          "WHERE (SELECT count(DISTINCT id >> 20) FROM change WHERE id >> 20 > first) <> "
          "(SELECT max(coalesce(max(id) >> 20, 1), first) - first FROM change)" },
};

static const char counting[] =
        "SELECT (SELECT count(*) FROM live), (SELECT count(*) FROM live WHERE lease <> 0), "
        "(SELECT count(*) FROM lease), (SELECT count(*) FROM change), "
        "(SELECT (page_count - freelist_count) * page_size "
        "FROM pragma_page_count, pragma_freelist_count, pragma_page_size)";

typedef struct Check {
        SqliteFile *file; /* borrowed */
        SqliteFindingFn fn;
        void *userdata;
        size_t n_findings;
        Diag *diag;
} Check;

static void check_find(Check *check, const char *what) {
        check->n_findings++;
        check->fn(what, check->userdata);
}

/* Runs one query and gives each row to `on_row`. A file that cannot be read any further is a
 * finding. Returns 0, or a negative errno that says nothing of the file. */
static int check_query(Check *check, const char *sql,
                       void (*on_row)(Check *check, sqlite3_stmt *s, void *userdata),
                       void *userdata) {
        sqlite3_stmt *s = NULL;
        int code, r = 0;

        code = sqlite3_prepare_v2(check->file->db, sql, -1, &s, NULL);
        while (code == SQLITE_OK || code == SQLITE_ROW) {
                code = sqlite3_step(s);
                if (code == SQLITE_ROW)
                        on_row(check, s, userdata);
        }
        if (code != SQLITE_DONE) {
                Diag why = { 0 };

                r = sqlite_file_error(check->file, &why);
                if (r == -EUCLEAN) {
                        check_find(check, why.message);
                        r = 0;
                } else if (r != -ENOMEM) {
                        diag_set(check->diag, r, "%s", why.message);
                }
        }
        (void)sqlite3_finalize(s);
        return r;
}

/* ---- SQLite's own */

static void on_integrity(Check *check, sqlite3_stmt *s, void *userdata) {
        const char *line = (const char *)sqlite3_column_text(s, 0);

        (void)userdata;
        if (line && !streq(line, "ok"))
                check_find(check, line);
}

/* ---- ours */

typedef struct Invariant {
        const char *what;
        size_t n;
} Invariant;

/* A key as a person can read it. */
static void describe(sqlite3_stmt *s, char *to, size_t n_left) {
        const unsigned char *bytes = sqlite3_column_blob(s, 0);
        int n = sqlite3_column_bytes(s, 0);

        *to = '\0';
        for (int i = 0; i < n && n_left > sizeof("\\x00"); i++) {
                int written = snprintf(to, n_left,
                                       isprint(bytes[i]) && bytes[i] != '\\' ? "%c" : "\\x%02x",
                                       bytes[i]);

                to += written;
                n_left -= (size_t)written;
        }
}

static void on_violation(Check *check, sqlite3_stmt *s, void *userdata) {
        Invariant *invariant = userdata;
        const char *marker = strstr(invariant->what, "%s");
        char subject[256], text[512];

        if (++invariant->n > FINDINGS_MAX)
                return;

        describe(s, subject, sizeof(subject));
        (void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(marker - invariant->what),
                       invariant->what, subject, marker + 2);
        check_find(check, text);
}

static int check_invariants(Check *check) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < ELEMENTSOF(invariants); i++) {
                Invariant invariant = { .what = invariants[i].what };

                if (check->file->version < invariants[i].since)
                        continue;
                r = check_query(check, invariants[i].sql, on_violation, &invariant);
                if (r == 0 && invariant.n > FINDINGS_MAX) {
                        char text[64];

                        (void)snprintf(text, sizeof(text), "and %zu more of these",
                                       invariant.n - FINDINGS_MAX);
                        check_find(check, text);
                }
        }
        return r;
}

static void on_counts(Check *check, sqlite3_stmt *s, void *userdata) {
        SqliteSummary *summary = userdata;

        (void)check;
        summary->n_keys = sqlite3_column_int64(s, 0);
        summary->n_leased = sqlite3_column_int64(s, 1);
        summary->n_leases = sqlite3_column_int64(s, 2);
        summary->n_changes = sqlite3_column_int64(s, 3);
        summary->n_bytes = sqlite3_column_int64(s, 4);
}

static int check_all(Check *check, SqliteSummary *summary) {
        Diag why = { 0 };
        int r = check_query(check, "PRAGMA integrity_check(20)", on_integrity, NULL);

        /* Tables that cannot be read would be found again and again. */
        if (r == 0 && check->n_findings == 0)
                r = check_invariants(check);
        if (r < 0 || check->n_findings > 0)
                return r;

        r = sqlite_file_look(check->file, &why);
        if (r == -EUCLEAN)
                check_find(check, why.message);
        summary->revision = check->file->revision;
        summary->compacted = check->file->compacted;
        return r == -EUCLEAN ? 0 : check_query(check, counting, on_counts, summary);
}

int sqlite_file_check(const char *path, SqliteFindingFn fn, void *userdata,
                      SqliteSummary *ret_summary, Diag *diag) {
        Check check = { .fn = fn, .userdata = userdata, .diag = diag };
        Diag why = { 0 };
        int r;

        *ret_summary = (SqliteSummary){ 0 };
        r = sqlite_attach(&check.file, path, &why);
        if (r == -EUCLEAN) {
                check_find(&check, why.message);
                return 0;
        }
        if (r < 0)
                return diag_set(diag, r, "%s", why.message);

        r = sqlite_exec(check.file, "BEGIN", diag);
        if (r == 0)
                r = check_all(&check, ret_summary);
        sqlite_file_close(check.file);
        return r < 0 ? r : check.n_findings == 0;
}
