/* SPDX-License-Identifier: Apache-2.0 */

/* What the built-in store does for who serves it: commands, and leases with their keys. The answers
 * that the tables expect are those of etcd 3.4.23 to the same requests, in a short form:
 *
 *   put@REVISION KV, delete@REVISION COUNT KV..., range@REVISION COUNT KV... (+ = there is more),
 *   yes@REVISION{...} and no@REVISION{...} for a transaction;
 *   KV is KEY=VALUE/CREATED/CHANGED/VERSION, and /LEASE if it has one.
 */

#include <check.h>
#include <errno.h>
#include <stdio.h>

#include "lib/store/store-serving.h"
#include "tests/contract/sqlite-file.h"

enum { LIMIT_US = 10 * US_PER_S };

/* ---- the store */

typedef struct Asked {
        SqliteRequest request;
        bool is_done;
        int status;
        SqliteReply reply; /* without what it borrows */
        char text[2048];
} Asked;

static SqliteTestFile file;
static Loop *loop;
static SqliteStore *sqlite;
static Asked asked;

static void store_begin(void) {
        const SqliteStoreOptions options = { .path = file.path, .module = SQLITE_MODULE };

        ck_assert_int_eq(loop_new(&loop, env_system()), 0);
        ck_assert_int_eq(sqlite_store_new(&sqlite, loop, &options), 0);
}

static void store_end(void) {
        sqlite = sqlite_store_free(sqlite);
        loop = loop_free(loop);
}

static void set_up(void) {
        ck_assert_int_eq(sqlite_test_file_make(&file), 0);
        store_begin();
}

static void tear_down(void) {
        store_end();
        sqlite_test_file_done(&file);
}

/* ---- answers as text */

typedef struct Text {
        char *to;
        size_t n_left;
} Text;

__attribute__((format(printf, 2, 3))) static void say(Text *text, const char *format, ...) {
        va_list arguments;
        int n;

        va_start(arguments, format);
        n = vsnprintf(text->to, text->n_left, format, arguments);
        va_end(arguments);
        ck_assert_int_lt(n, (int)text->n_left);
        text->to += n;
        text->n_left -= (size_t)n;
}

static void say_rows(Text *text, const SqliteRows *rows) {
        for (size_t i = 0; i < rows->n_kvs; i++) {
                const StoreKv *kv = &rows->kvs[i];

                say(text, " %.*s=%.*s/%lld/%lld/%lld", (int)kv->key.n_bytes,
                    (const char *)kv->key.data, (int)kv->value.n_bytes,
                    (const char *)kv->value.data, (long long)kv->create_revision,
                    (long long)kv->mod_revision, (long long)kv->version);
                if (kv->lease != 0)
                        say(text, "/%lld", (long long)kv->lease);
        }
}

static void say_answer(Text *text, const StoreAnswer *answer) {
        long long revision = answer->revision, count = answer->count;

        switch (answer->kind) {
        case STORE_COMMAND_RANGE:
                say(text, "range@%lld %lld", revision, count);
                break;
        case STORE_COMMAND_PUT:
                say(text, "put@%lld", revision);
                break;
        case STORE_COMMAND_DELETE:
                say(text, "delete@%lld %lld", revision, count);
                break;
        case STORE_COMMAND_TXN:
                say(text, "%s@%lld{", answer->succeeded ? "yes" : "no", revision);
                for (size_t i = 0; i < answer->n_answers; i++) {
                        say(text, "%s", i > 0 ? ", " : "");
                        say_answer(text, &answer->answers[i]);
                }
                say(text, "}");
                break;
        }
        say_rows(text, &answer->rows);
        say(text, "%s", answer->more ? " +" : "");
}

/* ---- asking */

static void on_done(SqliteRequest *request, int status, SqliteReply *reply) {
        Asked *to = container_of(request, Asked, request);
        Text text = { .to = to->text, .n_left = sizeof(to->text) };

        ck_assert((status == 0) == (reply != NULL));
        to->is_done = true;
        to->status = status;
        if (!reply)
                return;

        to->reply = *reply;
        if (reply->answer->revision > 0)
                say_answer(&text, reply->answer);
        say_rows(&text, &reply->keys);
        for (size_t i = 0; i < reply->n_leases; i++)
                say(&text, " %lld", (long long)reply->leases[i].id);
}

static int await(Asked *to) {
        uint64_t limit_us = loop_now_us(loop) + LIMIT_US;

        while (!to->is_done) {
                ck_assert_uint_lt(loop_now_us(loop), limit_us);
                ck_assert_int_eq(loop_turn(loop, US_PER_MS), 0);
        }
        return to->status;
}

static int command(const StoreCommand *what) {
        asked = (Asked){ 0 };
        ck_assert_int_eq(sqlite_request_command(&asked.request, sqlite, what, LIMIT_US, on_done),
                         0);
        return await(&asked);
}

static int grant(int64_t id, int64_t ttl_s) {
        asked = (Asked){ 0 };
        ck_assert_int_eq(sqlite_request_grant(&asked.request, sqlite, id, ttl_s, LIMIT_US, on_done),
                         0);
        return await(&asked);
}

static int look(int64_t id) {
        asked = (Asked){ 0 };
        ck_assert_int_eq(sqlite_request_look(&asked.request, sqlite, id, true, LIMIT_US, on_done),
                         0);
        return await(&asked);
}

static int compact(int64_t revision) {
        asked = (Asked){ 0 };
        ck_assert_int_eq(
                sqlite_request_compact(&asked.request, sqlite, revision, LIMIT_US, on_done), 0);
        return await(&asked);
}

/* ---- commands */

#define BYTES(text) \
        { .data = (text), .n_bytes = sizeof(text) - 1, }
#define PUT(name, text, ...) \
        { .kind = STORE_COMMAND_PUT, .key = BYTES(name), .value = BYTES(text), __VA_ARGS__ }
#define DELETE(name, last, ...) \
        { .kind = STORE_COMMAND_DELETE, .key = BYTES(name), .end = BYTES(last), __VA_ARGS__ }
#define RANGE(name, last, ...) \
        { .kind = STORE_COMMAND_RANGE, .key = BYTES(name), .end = BYTES(last), __VA_ARGS__ }
#define ARRAY(type, ...) \
        (const type[]){ __VA_ARGS__ }, sizeof((const type[]){ __VA_ARGS__ }) / sizeof(type)
#define THEN(...) .then = ARRAY(StoreCommand, __VA_ARGS__)
#define TXN(...) \
        { .kind = STORE_COMMAND_TXN, __VA_ARGS__ }
#define OTHERWISE(...) .otherwise = ARRAY(StoreCommand, __VA_ARGS__)
#define IF(...)        .tests = ARRAY(StoreTest, __VA_ARGS__)
#define TEST(name, what, how, n)                                                             \
        {                                                                                    \
                .key = BYTES(name), .target = STORE_TEST_##what, .result = STORE_TEST_##how, \
                .number = (n),                                                               \
        }
#define TEST_VALUE(name, how, text)                                                         \
        {                                                                                   \
                .key = BYTES(name), .target = STORE_TEST_VALUE, .result = STORE_TEST_##how, \
                .value = BYTES(text),                                                       \
        }
#define NOTHING ""
#define OPEN    "\0"

typedef struct Step {
        StoreCommand command;
        int status;
        const char *answer;
} Step;

/* A story begins with an empty store, at revision 1. */
static const struct {
        Step steps[8];
} stories[] = {
        /* Versions count the puts since the key was created. */
        { { { PUT("k", "1"), 0, "put@2" },
            { PUT("k", "2", .wants_previous = true), 0, "put@3 k=1/2/2/1" },
            { RANGE("k", NOTHING), 0, "range@3 1 k=2/2/3/2" },
            { DELETE("k", NOTHING, .wants_previous = true), 0, "delete@4 1 k=2/2/3/2" },
            { PUT("k", "3", .wants_previous = true), 0, "put@5" },
            { RANGE("k", NOTHING, .keys_only = true), 0, "range@5 1 k=/5/5/1" },
            { RANGE("k", NOTHING, .revision = 3), 0, "range@5 1 k=2/2/3/2" },
            { DELETE("nothing", NOTHING, .wants_previous = true), 0, "delete@5 0" } } },

        /* What one command of a transaction did, the next ones see; all is one revision. */
        { { { PUT("a", "1"), 0, "put@2" },
            { TXN(THEN(RANGE("a", NOTHING), DELETE("a", NOTHING, .wants_previous = true),
                       RANGE("a", NOTHING), PUT("c", "v"), RANGE("c", NOTHING, .revision = 1))),
              0, "yes@3{range@2 1 a=1/2/2/1, delete@3 1 a=1/2/2/1, range@3 0, put@3, range@3 0}" },
            { TXN(THEN(RANGE("a", NOTHING), TXN(THEN(RANGE("c", NOTHING))))), 0,
              "yes@3{range@3 0, yes@3{range@3 1 c=v/3/3/1}}" },
            { TXN(THEN(PUT("d", "v"), RANGE("d", NOTHING, .revision = 3))), 0,
              "yes@4{put@4, range@4 0}" },
            { TXN(THEN(DELETE("x", NOTHING), RANGE("d", NOTHING), PUT("d", "w"),
                       TXN(THEN(RANGE("d", NOTHING))))),
              0, "yes@5{delete@4 0, range@4 1 d=v/4/4/1, put@5, yes@5{range@5 1 d=w/4/5/2}}" },
            { TXN(THEN(PUT("d", "x"), DELETE("x", NOTHING))), 0, "yes@6{put@6, delete@6 0}" },
            { TXN(THEN(DELETE("x", NOTHING))), 0, "yes@6{delete@6 0}" },
            { { .kind = STORE_COMMAND_TXN }, 0, "yes@6{}" } } },

        /* Comparisons within see what was there before all of it; a revision has to have been
         * there, too. */
        { { { TXN(THEN(PUT("a", "1"), TXN(IF(TEST_VALUE("a", EQUAL, "1")), THEN(PUT("b", "yes")),
                                          OTHERWISE(PUT("b", "no"))))),
              0, "yes@2{put@2, no@2{put@2}}" },
            { RANGE("a", "c"), 0, "range@2 2 a=1/2/2/1 b=no/2/2/1" },
            { TXN(THEN(PUT("a", "2"), RANGE("a", NOTHING, .revision = 3))), STORE_E_FUTURE, "" },
            { RANGE("a", NOTHING), 0, "range@2 1 a=1/2/2/1" },
            { RANGE("a", NOTHING, .revision = 3), STORE_E_FUTURE, "" },
            { RANGE("a", NOTHING, .revision = -1), 0, "range@2 1 a=1/2/2/1" } } },

        /* Counts and limits. */
        { { { TXN(THEN(PUT("a", "1"), PUT("b", "2"), PUT("c", "3"))), 0,
              "yes@2{put@2, put@2, put@2}" },
            { RANGE("a", OPEN, .limit = 1, .counts_all = true), 0, "range@2 3 a=1/2/2/1 +" },
            { RANGE("a", OPEN, .limit = 1), 0, "range@2 1 a=1/2/2/1 +" },
            { RANGE("a", "c", .limit = INT64_MAX, .counts_all = true), 0,
              "range@2 2 a=1/2/2/1 b=2/2/2/1" },
            { RANGE("a", OPEN, .limit = 1, .counts_only = true), 0, "range@2 3" },
            { DELETE("a", "c"), 0, "delete@3 2" },
            { RANGE("a", OPEN, .limit = 1, .counts_all = true, .revision = 2), 0,
              "range@3 3 a=1/2/2/1 +" },
            { RANGE("a", OPEN, .counts_only = true, .revision = 2), 0, "range@3 3" } } },

        /* A key is written once, by what can be made together; a deletion may follow a put within
         * a transaction before it, or have an open end. */
        { { { TXN(THEN(PUT("k", "1"), PUT("k", "2"))), STORE_E_TWICE, "" },
            { TXN(THEN(PUT("k", "1"), TXN(THEN(DELETE("k", NOTHING))))), STORE_E_TWICE, "" },
            { TXN(THEN(TXN(THEN(DELETE("a", "z"))), TXN(THEN(PUT("k", "1"))))), STORE_E_TWICE, "" },
            { TXN(THEN(TXN(THEN(PUT("k", "1"))), TXN(OTHERWISE(PUT("k", "1"))))), STORE_E_TWICE,
              "" },
            { TXN(IF(TEST("x", VERSION, EQUAL, 0)), OTHERWISE(PUT("k", "1"), PUT("k", "2"))),
              STORE_E_TWICE, "" },
            { TXN(THEN(TXN(THEN(PUT("k", "1")), OTHERWISE(PUT("k", "1"))))), 0,
              "yes@2{yes@2{put@2}}" },
            { TXN(THEN(TXN(THEN(PUT("k", "1"))), TXN(THEN(DELETE("k", NOTHING))))), 0,
              "yes@3{yes@3{put@3}, yes@3{delete@3 1}}" },
            { TXN(THEN(DELETE("a", OPEN), PUT("k", "2"))), 0, "yes@4{delete@3 0, put@4}" } } },
        { { { TXN(THEN(PUT("k", "1"), DELETE("a", OPEN))), 0, "yes@2{put@2, delete@2 1}" },
            { RANGE("k", NOTHING), 0, "range@2 0" },
            { PUT("k", "1"), 0, "put@3" },
            { TXN(THEN(DELETE("a", OPEN), PUT("k", "2"))), 0, "yes@4{delete@4 1, put@4}" },
            { RANGE("k", NOTHING), 0, "range@4 1 k=2/4/4/1" },
            { RANGE("k", NOTHING, .revision = 3), 0, "range@4 1 k=1/3/3/1" } } },

        /* What a put keeps has to be there, when the put is made. */
        { { { PUT("k", NOTHING, .keeps_value = true), STORE_E_ABSENT, "" },
            { PUT("k", "v", .keeps_lease = true), STORE_E_ABSENT, "" },
            { PUT("k", "v", .keeps_value = true), STORE_E_VALUE_GIVEN, "" },
            { PUT("k", "v", .keeps_lease = true, .lease = 7), STORE_E_LEASE_GIVEN, "" },
            { TXN(THEN(PUT("a", "1"), PUT("k", NOTHING, .keeps_value = true))), STORE_E_ABSENT,
              "" },
            { TXN(OTHERWISE(PUT("k", NOTHING, .keeps_value = true))), 0, "yes@1{}" },
            { TXN(THEN(PUT("k", "v", .keeps_value = true))), STORE_E_VALUE_GIVEN, "" },
            { RANGE("a", OPEN), 0, "range@1 0" } } },

        /* So has its lease. */
        { { { PUT("k", "v", .lease = 7), STORE_E_NO_LEASE, "" },
            { TXN(THEN(PUT("a", "1"), PUT("k", "v", .lease = 7))), STORE_E_NO_LEASE, "" },
            { TXN(OTHERWISE(PUT("k", "v", .lease = 7))), 0, "yes@1{}" },
            { RANGE("a", OPEN), 0, "range@1 0" } } },

        /* No key. */
        { { { RANGE(NOTHING, NOTHING), STORE_E_NO_KEY, "" },
            { PUT(NOTHING, "v"), STORE_E_NO_KEY, "" },
            { DELETE(NOTHING, "z"), STORE_E_NO_KEY, "" },
            { TXN(THEN(RANGE(NOTHING, NOTHING))), STORE_E_NO_KEY, "" },
            { TXN(IF(TEST(NOTHING, VERSION, EQUAL, 0))), STORE_E_NO_KEY, "" } } },
};

START_TEST(test_command_stories) {
        for (const Step *step = stories[_i].steps; step < stories[_i].steps + 8 && step->answer;
             step++) {
                ck_assert_int_eq(command(&step->command), step->status);
                ck_assert_str_eq(asked.text, step->answer);
        }
}
END_TEST

/* ---- comparisons */

/* With `k` put three times since revision 2, on lease 7 last, as `middle`; `l` beside it once. */
static const struct {
        StoreTest test;
        bool holds;
} tests[] = {
        { TEST("k", VERSION, EQUAL, 3), true },
        { TEST("k", VERSION, NOT_EQUAL, 3), false },
        { TEST("k", VERSION, GREATER, 2), true },
        { TEST("k", VERSION, LESS, 3), false },
        { TEST("k", CREATE, EQUAL, 2), true },
        { TEST("k", CREATE, GREATER, 2), false },
        { TEST("k", MOD, EQUAL, 4), true },
        { TEST("k", MOD, LESS, 5), true },
        { TEST("k", LEASE, EQUAL, 7), true },
        { TEST("k", LEASE, NOT_EQUAL, 0), true },
        { TEST("l", LEASE, EQUAL, 0), true },
        { TEST_VALUE("k", EQUAL, "middle"), true },
        { TEST_VALUE("k", NOT_EQUAL, "middle"), false },
        { TEST_VALUE("k", GREATER, "later"), true },
        { TEST_VALUE("k", LESS, "middl"), false },
        { TEST_VALUE("k", LESS, "middle "), true },

        /* A key that does not exist. */
        { TEST("none", VERSION, EQUAL, 0), true },
        { TEST("none", VERSION, LESS, 1), true },
        { TEST("none", CREATE, EQUAL, 0), true },
        { TEST("none", MOD, GREATER, 0), false },
        { TEST("none", LEASE, EQUAL, 0), true },
        { TEST_VALUE("none", EQUAL, NOTHING), false },
        { TEST_VALUE("none", NOT_EQUAL, "v"), false },
        { TEST_VALUE("none", LESS, "v"), false },

        /* Ranges. */
        { { .key = BYTES("k"),
            .end = BYTES("z"),
            .target = STORE_TEST_VERSION,
            .result = STORE_TEST_GREATER,
            .number = 0 },
          true },
        { { .key = BYTES("k"),
            .end = BYTES("z"),
            .target = STORE_TEST_VERSION,
            .result = STORE_TEST_EQUAL,
            .number = 3 },
          false },
        { { .key = BYTES("k"),
            .end = BYTES(OPEN),
            .target = STORE_TEST_VALUE,
            .result = STORE_TEST_GREATER,
            .value = BYTES("a") },
          true },
        { { .key = BYTES("x"),
            .end = BYTES("z"),
            .target = STORE_TEST_VERSION,
            .result = STORE_TEST_EQUAL,
            .number = 0 },
          true },
        { { .key = BYTES("x"),
            .end = BYTES("z"),
            .target = STORE_TEST_VALUE,
            .result = STORE_TEST_NOT_EQUAL,
            .value = BYTES("a") },
          false },
        { { .key = BYTES("k"),
            .end = BYTES("a"),
            .target = STORE_TEST_VERSION,
            .result = STORE_TEST_EQUAL,
            .number = 0 },
          true },
};

START_TEST(test_comparisons) {
        const StoreCommand puts[] = { PUT("k", "1"), PUT("k", "2"), PUT("k", "middle", .lease = 7),
                                      PUT("l", "x") };

        ck_assert_int_eq(grant(7, 60), 0);
        for (size_t i = 0; i < ELEMENTSOF(puts); i++)
                ck_assert_int_eq(command(&puts[i]), 0);

        for (size_t i = 0; i < ELEMENTSOF(tests); i++) {
                const StoreCommand txn = { .kind = STORE_COMMAND_TXN,
                                           .tests = &tests[i].test,
                                           .n_tests = 1 };

                ck_assert_int_eq(command(&txn), 0);
                ck_assert_msg(streq(asked.text, tests[i].holds ? "yes@5{}" : "no@5{}"),
                              "comparison %zu: %s", i, asked.text);
        }
}
END_TEST

/* ---- limits */

/* Each level takes what it has off the 128. */
static const struct {
        size_t n_above, n_within;
        int status;
} depths[] = {
        { 0, 128, 0 },  { 0, 129, STORE_E_TOO_MANY },  { 1, 127, 0 }, { 1, 128, STORE_E_TOO_MANY },
        { 101, 27, 0 }, { 101, 28, STORE_E_TOO_MANY },
};

START_TEST(test_limit_of_commands) {
        StoreCommand within[129], above[129], txn = { .kind = STORE_COMMAND_TXN };
        const StoreCommand range = RANGE("k", NOTHING);

        for (size_t i = 0; i < ELEMENTSOF(within); i++)
                within[i] = above[i] = range;
        txn.otherwise = within;
        txn.n_otherwise = depths[_i].n_within;
        if (depths[_i].n_above > 0) {
                above[0] = txn;
                txn = (StoreCommand){ .kind = STORE_COMMAND_TXN,
                                      .then = above,
                                      .n_then = depths[_i].n_above };
        }
        ck_assert_int_eq(command(&txn), depths[_i].status);
}
END_TEST

START_TEST(test_limit_of_comparisons) {
        StoreTest many[129];
        const StoreTest one = TEST("k", VERSION, EQUAL, 0);
        StoreCommand txn = { .kind = STORE_COMMAND_TXN, .tests = many, .n_tests = 128 };

        for (size_t i = 0; i < ELEMENTSOF(many); i++)
                many[i] = one;
        ck_assert_int_eq(command(&txn), 0);
        txn.n_tests = 129;
        ck_assert_int_eq(command(&txn), STORE_E_TOO_MANY);
}
END_TEST

/* ---- leases */

START_TEST(test_leases) {
        const StoreCommand puts[] = { PUT("b", "1", .lease = 77), PUT("a", "1", .lease = 77),
                                      PUT("c", "1", .lease = -77) };
        const StoreCommand keep = PUT("a", "2", .keeps_lease = true),
                           leave = PUT("b", NOTHING, .keeps_value = true), all = RANGE("a", OPEN);
        int64_t drawn;

        ck_assert_int_eq(grant(77, -5), 0);
        ck_assert_int_eq(asked.reply.lease.id, 77);
        ck_assert_int_eq(asked.reply.lease.ttl_s, STORE_LEASE_TTL_MIN_S);
        ck_assert_int_eq(grant(77, 60), STORE_E_LEASE_EXISTS);
        ck_assert_int_eq(grant(-77, 60), 0);
        ck_assert_int_eq(grant(78, 9000000000), 0);
        ck_assert_int_eq(grant(79, 9000000001), STORE_E_LEASE_TOO_LONG);
        ck_assert_int_eq(grant(0, 120), 0);
        drawn = asked.reply.lease.id;
        ck_assert_int_gt(drawn, 0);
        for (size_t i = 0; i < ELEMENTSOF(puts); i++)
                ck_assert_int_eq(command(&puts[i]), 0);

        ck_assert_int_eq(look(77), 0);
        ck_assert_str_eq(asked.text, " a=/3/3/1/77 b=/2/2/1/77");
        ck_assert_int_eq(look(76), STORE_E_NO_LEASE);
        asked = (Asked){ 0 };
        ck_assert_int_eq(sqlite_request_leases(&asked.request, sqlite, LIMIT_US, on_done), 0);
        ck_assert_int_eq(await(&asked), 0);
        {
                char text[128];

                (void)snprintf(text, sizeof(text), " 77 -77 %lld 78", (long long)drawn);
                ck_assert_str_eq(asked.text, text);
        }

        ck_assert_int_eq(command(&keep), 0);
        ck_assert_int_eq(command(&leave), 0);
        ck_assert_int_eq(look(77), 0);
        ck_assert_str_eq(asked.text, " a=/3/5/2/77");
        asked = (Asked){ 0 };
        ck_assert_int_eq(sqlite_request_keep_alive(&asked.request, sqlite, 77, LIMIT_US, on_done),
                         0);
        ck_assert_int_eq(await(&asked), 0);
        asked = (Asked){ 0 };
        ck_assert_int_eq(sqlite_request_revoke(&asked.request, sqlite, 77, LIMIT_US, on_done), 0);
        ck_assert_int_eq(await(&asked), 0);
        ck_assert_int_eq(asked.reply.revision, 7);
        ck_assert_int_eq(command(&all), 0);
        ck_assert_str_eq(asked.text, "range@7 2 b=1/2/6/2 c=1/4/4/1/-77");
}
END_TEST

/* ---- compaction, and what was before */

/* It takes two steps. */
START_TEST(test_compaction_in_steps) {
        const StoreCommand put = PUT("k", "v"), old = RANGE("k", NOTHING, .revision = 3),
                           kept = RANGE("k", NOTHING, .revision = 400);

        for (int i = 0; i < 400; i++)
                ck_assert_int_eq(command(&put), 0);
        ck_assert_int_eq(compact(402), STORE_E_FUTURE);
        ck_assert_int_eq(compact(400), 0);
        ck_assert_int_eq(sqlite_store_state(sqlite).compacted, 400);
        ck_assert_int_eq(compact(400), STORE_E_COMPACTED);
        ck_assert_int_eq(compact(0), STORE_E_COMPACTED);
        ck_assert_int_eq(command(&old), STORE_E_COMPACTED);
        ck_assert_int_eq(command(&kept), 0);
        ck_assert_str_eq(asked.text, "range@401 1 k=v/2/400/399");
}
END_TEST

START_TEST(test_previous) {
        const StoreCommand story[] = { PUT("k", "1"), PUT("k", "2"), DELETE("k", NOTHING) };
        static const struct {
                int64_t revision;
                const char *before;
        } cases[] = { { 2, "" }, { 3, " k=1/2/2/1" }, { 4, " k=2/2/3/2" } };
        StoreKv kv = { .key = BYTES("k") };
        SqliteRows rows = { 0 };
        char buffer[64];

        for (size_t i = 0; i < ELEMENTSOF(story); i++)
                ck_assert_int_eq(command(&story[i]), 0);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Text text = { .to = buffer, .n_left = sizeof(buffer) };

                buffer[0] = '\0';
                kv.mod_revision = cases[i].revision;
                ck_assert_int_eq(sqlite_store_previous(sqlite, &kv, &rows), 0);
                say_rows(&text, &rows);
                ck_assert_str_eq(buffer, cases[i].before);
                sqlite_rows_done(&rows);
        }

        ck_assert_int_eq(compact(4), 0);
        kv.mod_revision = 3;
        ck_assert_int_eq(sqlite_store_previous(sqlite, &kv, &rows), 0);
        ck_assert_uint_eq(rows.n_kvs, 0);
}
END_TEST

/* ---- requests */

/* A cancelled request ends so, and does nothing; the number of the file stays. */
START_TEST(test_cancel_and_reopen) {
        const StoreCommand put = PUT("k", "v"), read = RANGE("k", NOTHING);
        uint64_t identity;

        ck_assert_int_eq(command(&read), 0);
        identity = sqlite_store_state(sqlite).identity;
        ck_assert_uint_ne(identity, 0);
        asked = (Asked){ 0 };
        ck_assert_int_eq(sqlite_request_command(&asked.request, sqlite, &put, LIMIT_US, on_done),
                         0);
        ck_assert(sqlite_request_is_pending(&asked.request));
        sqlite_request_cancel(&asked.request);
        ck_assert_int_eq(await(&asked), -ECANCELED);
        ck_assert(!sqlite_request_is_pending(&asked.request));

        store_end();
        store_begin();
        ck_assert(!sqlite_store_state(sqlite).is_open);
        ck_assert_int_eq(command(&read), 0);
        ck_assert_str_eq(asked.text, "range@1 0");
        ck_assert_uint_eq(sqlite_store_state(sqlite).identity, identity);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("sqlite-command");
        TCase *cases = tcase_create("sqlite-command");
        SRunner *runner;
        int n_failed;

        tcase_add_checked_fixture(cases, set_up, tear_down);
        tcase_set_timeout(cases, 60);
        tcase_add_loop_test(cases, test_command_stories, 0, ELEMENTSOF(stories));
        tcase_add_test(cases, test_comparisons);
        tcase_add_loop_test(cases, test_limit_of_commands, 0, ELEMENTSOF(depths));
        tcase_add_test(cases, test_limit_of_comparisons);
        tcase_add_test(cases, test_leases);
        tcase_add_test(cases, test_compaction_in_steps);
        tcase_add_test(cases, test_previous);
        tcase_add_test(cases, test_cancel_and_reopen);
        suite_add_tcase(suite, cases);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed == 0 ? 0 : 1;
}
