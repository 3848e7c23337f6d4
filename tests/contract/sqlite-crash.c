/* SPDX-License-Identifier: Apache-2.0 */

/* The built-in store under kill -9: `sqlite-crash [ROUNDS]`.
 *
 * Each round starts a process that writes as fast as it is answered, many writes in flight, reports
 * every answer, and is killed at a random moment. The next round opens the file: everything that
 * was answered must be there, under the revision that it was answered with, the revision must not
 * have gone back, and nothing may have to be repaired.
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/store/store-sqlite.h"
#include "tests/contract/sqlite-file.h"

enum {
        IN_FLIGHT = 16,
        OPEN_LIMIT_US = 10 * US_PER_S,
        LOOK_US = US_PER_MS, /* short: a turn sleeps after its callbacks, before we look */
        LIFE_MIN_MS = 20,    /* of the process that is killed */
        LIFE_SPREAD_MS = 150,
        REPORTS_MAX = 1 << 20,
};

/* A write that was answered. */
typedef struct Report {
        uint32_t number;
        int64_t revision;
} Report;

typedef struct Write {
        StoreRequest request;
        uint32_t number;
} Write;

static SqliteTestFile file;
static Report reports[REPORTS_MAX];
static size_t n_reports;
static int report_fd;
static uint32_t next_number;
static bool is_done;

static void key_of(char *key, size_t n_bytes, uint32_t number) {
        (void)snprintf(key, n_bytes, "key-%08u", number);
}

/* ---- the process that is killed */

static void start_write(Write *write);

static void on_written(StoreRequest *request, int status, const StoreReply *reply) {
        Write *done = container_of(request, Write, request);
        const Report report = { .number = done->number, .revision = reply ? reply->revision : 0 };

        if (status != 0) {
                (void)fprintf(stderr, "a write ended with %d\n", status);
                _exit(EXIT_FAILURE);
        }
        if (write(report_fd, &report, sizeof(report)) != sizeof(report))
                _exit(EXIT_FAILURE);
        start_write(done);
}

static Store *writer_store;

static void start_write(Write *write) {
        char key[32], value[200];
        StoreOp op = { .kind = STORE_OP_PUT,
                       .key.data = key,
                       .value = { .data = value, .n_bytes = sizeof(value) } };
        const StoreCompare fresh = { .key.data = key, .key.n_bytes = 12 };
        const StoreTxn txn = { .compares = &fresh, .n_compares = 1, .ops = &op, .n_ops = 1 };

        write->number = next_number++;
        key_of(key, sizeof(key), write->number);
        op.key.n_bytes = strlen(key);
        memset(value, (int)('a' + write->number % 26), sizeof(value));
        if (store_txn(writer_store, &write->request, &txn, OPEN_LIMIT_US, on_written) < 0)
                _exit(EXIT_FAILURE);
}

static int open_store(Loop **ret_loop, SqliteStore **ret_sqlite, Store **ret_store) {
        const SqliteStoreOptions options = { .path = file.path, .module = SQLITE_MODULE };

        if (loop_new(ret_loop, env_system()) < 0 ||
            sqlite_store_new(ret_sqlite, *ret_loop, &options) < 0 ||
            store_sqlite_new(ret_store, *ret_sqlite) < 0)
                return -ENOMEM;
        return 0;
}

static void run_writer(void) {
        Write writes[IN_FLIGHT] = { 0 };
        SqliteStore *sqlite;
        Loop *loop;

        if (open_store(&loop, &sqlite, &writer_store) < 0)
                _exit(EXIT_FAILURE);
        for (size_t i = 0; i < IN_FLIGHT; i++)
                start_write(&writes[i]);
        _exit(loop_run(loop) < 0);
}

/* Lets one write until it is killed, and takes down what it was answered. */
static int kill_one(void) {
        int fds[2], status;
        Report report;
        pid_t pid;

        if (pipe(fds) < 0)
                return -errno;
        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                report_fd = fds[1];
                (void)close(fds[0]);
                run_writer();
        }

        (void)close(fds[1]);
        (void)poll(NULL, 0, LIFE_MIN_MS + (int)env_random_below(env_system(), LIFE_SPREAD_MS));
        (void)kill(pid, SIGKILL);
        while (n_reports < REPORTS_MAX && read(fds[0], &report, sizeof(report)) == sizeof(report))
                reports[n_reports++] = report;
        (void)close(fds[0]);
        (void)waitpid(pid, &status, 0);
        return WIFSIGNALED(status) ? 0 : -EIO;
}

/* ---- what is there */

typedef struct Check {
        StoreRequest request;
        int status;
        int64_t revision;
        uint32_t last_number; /* of what is there */
} Check;

/* Everything is there: keys are in order of the numbers, and so are the reports when sorted. */
static int compare_reports(const void *a, const void *b) {
        const Report *x = a, *y = b;

        return (x->number > y->number) - (x->number < y->number);
}

static void on_listed(StoreRequest *request, int status, const StoreReply *reply) {
        Check *check = container_of(request, Check, request);
        size_t i = 0;

        is_done = true;
        check->status = status;
        if (status != 0)
                return;

        check->revision = reply->revision;
        for (size_t k = 0; k < reply->n_kvs; k++) {
                char key[32];

                (void)snprintf(key, sizeof(key), "%.*s", (int)reply->kvs[k].key.n_bytes,
                               (const char *)reply->kvs[k].key.data);
                check->last_number = (uint32_t)strtoul(key + 4, NULL, 10);
                if (i == n_reports)
                        continue;
                key_of(key, sizeof(key), reports[i].number);
                if (memcmp(key, reply->kvs[k].key.data, strlen(key)) != 0)
                        continue;
                if (reply->kvs[k].mod_revision != reports[i].revision) {
                        (void)fprintf(stderr, "%s was answered with revision %lld and has %lld\n",
                                      key, (long long)reports[i].revision,
                                      (long long)reply->kvs[k].mod_revision);
                        check->status = -EIO;
                }
                i++;
        }
        if (i < n_reports) {
                (void)fprintf(stderr, "number %u was answered and is not there\n",
                              (unsigned)reports[i].number);
                check->status = -EIO;
        }
}

static void on_closed(Store *store, void *userdata) {
        (void)store;
        *(bool *)userdata = true;
}

static int check_file(int64_t *revision) {
        const StoreRange all = { .key = store_bytes("key-"),
                                 .end = store_bytes("key."),
                                 .keys_only = true };
        Check check = { 0 };
        bool is_closed = false;
        SqliteStore *sqlite;
        Store *store;
        Loop *loop;

        qsort(reports, n_reports, sizeof(*reports), compare_reports);
        if (open_store(&loop, &sqlite, &store) < 0)
                return -ENOMEM;

        is_done = false;
        if (store_range(store, &check.request, &all, OPEN_LIMIT_US, on_listed) < 0)
                return -ENOMEM;
        while (!is_done)
                (void)loop_turn(loop, LOOK_US);
        store_close(store, on_closed, &is_closed);
        while (!is_closed)
                (void)loop_turn(loop, LOOK_US);
        (void)store_free(store);
        (void)sqlite_store_free(sqlite);
        (void)loop_free(loop);

        if (check.status == 0 && check.revision < *revision) {
                (void)fprintf(stderr, "the revision went back from %lld to %lld\n",
                              (long long)*revision, (long long)check.revision);
                return -EIO;
        }
        *revision = check.revision;
        next_number = check.last_number + 1;
        return check.status;
}

int main(int argc, char **argv) {
        long n_rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 5;
        int64_t revision = 0;
        int r;

        r = sqlite_test_file_make(&file);
        for (long i = 0; r == 0 && i < n_rounds; i++) {
                r = kill_one();
                if (r == 0)
                        r = check_file(&revision);
        }
        sqlite_test_file_done(&file);
        (void)printf("%ld rounds, %zu writes answered, revision %lld: %s\n", n_rounds, n_reports,
                     (long long)revision, r == 0 ? "nothing lost" : "FAILED");
        return r == 0 && n_reports > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
