/* SPDX-License-Identifier: Apache-2.0 */

/* GET doctor: what a checkup finds, and that it asks, waits and ends. */

#include <stdio.h>

#include "tests/unit/api/fixture.h"
#include "tests/unit/fault.h"

#define HASH   "da39a3ee5e6b4b0d3255bfef95601890afd80709" /* of nothing */
#define UNIT   "{\"desired\":\"launched\",\"file\":\"" HASH "\",\"generation\":4}"
#define ROW    UNIT
#define PLACED "{\"generation\":4,\"machine\":\"m1\"}"
#define STATE(active, hash, generation, more)                                        \
        "{\"active\":\"" active "\",\"generation\":" #generation ",\"hash\":\"" hash \
        "\",\"load\":\"loaded\",\"state\":\"launched\",\"sub\":\"running\"" more "}"
#define HOLD "{\"machine\":\"m1\",\"stop\":4}"
#define UP   STATE("active", HASH, 4, "")

/* A daemon's answer to whatever checkup. */
static void answer(Fixture *f, const char *key, int64_t ahead_ms, const char *more) {
        char value[1024];

        (void)snprintf(value, sizeof(value),
                       "{\"asked\":1000000,\"hostname\":\"web1\",\"late\":0,\"storeVersion\":\"3\","
                       "\"version\":\"2.0.0\",\"wallMs\":%lld%s}",
                       (long long)(env_wall_us(&f->env.env) / 1000) + ahead_ms, more);
        put(f, key, value);
}

/* One machine that leads, with a unit that runs. */
static Fixture *healthy(void) {
        Fixture *f = fixture_new(100);

        put(f, "/fleet/engine/leader", "{\"epoch\":1,\"machine\":\"m1\"}");
        put(f, "/fleet/machine/m1", "{\"hostname\":\"web1\",\"version\":\"2.0.0\"}");
        put(f, "/fleet/file/" HASH, "");
        put(f, "/fleet/unit/a.service", UNIT);
        put(f, "/fleet/placement/a.service", PLACED);
        put(f, "/fleet/schedule/m1/a.service", ROW);
        put(f, "/fleet/state/m1/a.service", UP);
        answer(f, "/fleet/report/m1/1", 0, "");
        return f;
}

static char *checkup(Fixture *f) {
        Reply reply = request(f, "GET", "/fleet/v1/doctor", NULL, NULL);
        char *body = strdup(reply.body);

        ck_assert_int_eq(reply.status, 200);
        reply_free(&reply);
        return body;
}

/* Of a healthy cluster every check says so, and nothing is found. */
START_TEST(test_healthy) {
        Fixture *f = healthy();
        char *body = checkup(f);

        ck_assert_msg(strstr(body, "\"findings\":[]"), "%s", body);
        ck_assert_ptr_nonnull(strstr(body, "\"name\":\"store\",\"problems\":0"));
        ck_assert_ptr_nonnull(strstr(body, "\"name\":\"clocks\",\"problems\":0"));
        ck_assert_ptr_nonnull(strstr(body, "1 machines, 1 answers"));
        ck_assert_msg(strstr(body, " KiB, of which "), "%s", body);
        free(body);
        fixture_free(f);
}
END_TEST

/* One record that is not as it should be, and what is said of it. */
static const struct {
        const char *key, *value; /* NULL = it goes */
        const char *subject, *what;
        bool is_note;
} rows[] = {
        { "/fleet/engine/leader", NULL, NULL, "no machine leads", false },
        { "/fleet/engine/leader", "{\"epoch\":1,\"machine\":\"gone\"}", "gone",
          "the leader's machine is not there", false },
        { "/fleet/machine/m2", "{\"hostname\":\"web2\",\"version\":\"1.9\"}", "m2",
          "web2 did not answer within 2 s: its fleetd hangs, has lost the store, or is too old to "
          "know checkups (1.9)",
          false },
        { "/fleet/machine/m1", NULL, "m1",
          "the machine is not there, and 1 units that fit nowhere else stay scheduled to it",
          false },
        { "/fleet/machine/m1", "{\"hostname\":\"web1\",\"leaving\":true,\"version\":\"2.0.0\"}",
          "m1", "web1 leaves the cluster", true },
        { "/fleet/engine/brake",
          "{\"limit\":2,\"machines\":[{\"id\":\"m9\",\"missingSince\":1771000000}],\"since\":"
          "1771000000}",
          "m9", "the machine is not there and keeps its units", false },
        { "/fleet/engine/brake", "[]", "engine/brake", "", false },
        { "/fleet/schedule/m9/a.service", ROW, "m9",
          "the machine is not there; 1 global units stay scheduled to it", true },
        { "/fleet/placement/a.service", "{\"generation\":4,\"machine\":\"m9\"}", "a.service",
          "it is on machine m9, which is not there", false },
        { "/fleet/placement/a.service", "{\"generation\":4,\"why\":\"web1: too small\"}",
          "a.service", "no machine fits: web1: too small", false },
        { "/fleet/schedule/m1/a.service", NULL, "a.service",
          "its placement names machine m1, whose schedule does not have it", false },
        { "/fleet/file/" HASH, NULL, "a.service", "its content da39a3ee is missing", false },
        { "/fleet/state/m1/a.service", NULL, "a.service",
          "machine m1, to which it is scheduled, reports nothing of it", false },
        { "/fleet/state/m1/a.service", STATE("failed", HASH, 4, ""), "a.service",
          "it has failed on machine m1 after it was started", false },
        { "/fleet/state/m1/a.service", STATE("inactive", HASH, 4, ""), "a.service",
          "it is meant to run and does not on machine m1", true },
        { "/fleet/state/m1/a.service", STATE("active", HASH, 3, ""), "a.service",
          "machine m1 is at work on the last request", true },
        { "/fleet/state/m1/a.service", STATE("active", "", 4, ",\"why\":\"no such user\""),
          "a.service", "on machine m1: no such user", false },
        { "/fleet/state/m1/a.service", STATE("active", HASH, 3, ",\"waits\":\"for m2\""),
          "a.service", "machine m1 waits: for m2", true },
        { "/fleet/state/m1/a.service",
          STATE("active", "0123456789012345678901234567890123456789", 4, ""), "a.service",
          "on machine m1 it has another content than it should", false },
        { "/fleet/unit/b.service", UNIT, "b.service", "it is scheduled nowhere", false },
        { "/fleet/unit/b.service", "{", "unit/b.service", "it does not parse: ", false },
        { "/fleet/metadata/m1", "[]", "metadata/m1", "it does not parse: ", false },
        { "/fleet/schedule/m1/x.service", ROW, "schedule/m1/x.service", "there is no such unit",
          false },
        { "/fleet/placement/x.service", PLACED, "placement/x.service", "there is no such unit",
          false },
        { "/fleet/state/m1/x.service", UP, "state/m1/x.service", "it is not scheduled there",
          true },
        { "/fleet/state/m9/a.service", UP, "state/m9/a.service", "its machine is not there",
          false },
        { "/fleet/hold/a.service", "{", "hold/a.service", "it does not parse: ", false },
        { "/fleet/hold/a.service", HOLD, "a.service",
          "it is held for machine m1, which does not know that", false },
        { "/fleet/held/m1/a.service", HOLD, "held/m1/a.service",
          "the machine may run this Exclusive unit, and hold/ does not keep the others from it",
          false },
        { "/fleet/held/m1/a.service", "{", "held/m1/a.service", "it does not parse: ", false },
        { "/fleet/unit/no/key", "x", "/fleet/unit/no/key", "it is no key of ours", false },
        { "/fleet/report/m1/1", "{\"asked\":1000000,\"hostLost\":true}", "m1",
          "systemd does not answer fleetd on a machine", false },
        { "/fleet/report/m1/1", "{\"asked\":1000000,\"late\":2,\"units\":7}", "m1",
          "a machine could not report 2 of its 7 units for some seconds", false },
        { "/fleet/report/m1/2",
          "{\"address\":\"10.0.0.9\",\"asked\":1000000,\"hostname\":\"web9\",\"why\":\"another "
          "machine\"}",
          "m1", "web9 (10.0.0.9) is kept out of the cluster: another machine", false },
};

static void check_row(size_t i) {
        Fixture *f = healthy();
        char subject[256] = "", *body;

        put(f, rows[i].key, rows[i].value);
        body = checkup(f);
        ck_assert_msg(strstr(body, rows[i].what), "%s: %s", rows[i].what, body);
        if (rows[i].subject)
                (void)snprintf(subject, sizeof(subject), "\"subject\":\"%s\"", rows[i].subject);
        ck_assert_msg(strstr(body, subject), "%s: %s", subject, body);
        ck_assert_msg(!strstr(body, rows[i].is_note ? "remedy" : "\"findings\":[]") ||
                              /* Answers without a clock are behind by decades. */
                              strncmp(rows[i].key, "/fleet/report/", 14) == 0,
                      "%s", body);
        free(body);
        fixture_free(f);
}

/* Each of them is found. */
START_TEST(test_findings) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                check_row(i);
}
END_TEST

/* A checkup finds nothing. */
static void expect_nothing(Fixture *f) {
        _cleanup_(freep) char *body = checkup(f);

        ck_assert_msg(!!strstr(body, "\"findings\":[]"), "%s", body);
}

/* A unit that was destroyed a moment ago: its placement says where it may still be ending. */
START_TEST(test_destroyed) {
        Fixture *f = healthy();

        put(f, "/fleet/placement/x.service", "{\"generation\":3,\"left\":[\"m1\"]}");
        expect_nothing(f);
        fixture_free(f);
}
END_TEST

/* A hold with both halves; and one of a machine that is lost, which the leader removes. */
START_TEST(test_holds) {
        Fixture *f = healthy();

        put(f, "/fleet/hold/a.service", HOLD);
        put(f, "/fleet/held/m1/a.service", HOLD);
        put(f, "/fleet/hold/x.service", "{\"machine\":\"m9\",\"stop\":4}");
        expect_nothing(f);
        fixture_free(f);
}
END_TEST

/* A clock is told when it is more than a second off; a little, and what lies between question and
 * answer, is not. */
START_TEST(test_clocks) {
        static const struct {
                int64_t ahead_ms;
                const char *what;
        } clocks[] = {
                { 900, NULL },
                { -900, NULL },
                { 3600000, "the clock of web1 is at least 3600.000 s ahead of" },
                { -1500, "the clock of web1 is at least 1.500 s behind" },
        };

        for (size_t i = 0; i < ELEMENTSOF(clocks); i++) {
                Fixture *f = healthy();
                char *body;

                answer(f, "/fleet/report/m1/1", clocks[i].ahead_ms, "");
                body = checkup(f);
                ck_assert_msg(clocks[i].what ? !!strstr(body, clocks[i].what)
                                             : !!strstr(body, "\"findings\":[]"),
                              "%s", body);
                free(body);
                fixture_free(f);
        }
}
END_TEST

/* Machines that differ in a version are a note. */
START_TEST(test_versions) {
        Fixture *f = healthy();
        char *body;

        put(f, "/fleet/machine/m2", "{}");
        answer(f, "/fleet/report/m2/2", 0, ",\"storeVersion\":\"3.5\"");
        body = checkup(f);
        ck_assert_msg(strstr(body, "machines differ in etcd: 1 have 3, 1 another version, such as "
                                   "3.5"),
                      "%s", body);
        ck_assert_ptr_null(strstr(body, "remedy"));
        free(body);
        fixture_free(f);
}
END_TEST

/* An answer to an earlier checkup is none. A daemon that stays silent is waited for, and not for
 * ever. */
START_TEST(test_patience) {
        Fixture *f = healthy();
        uint64_t begin_us = f->env.now_us;
        char *body;

        put(f, "/fleet/report/m1/1", "{\"asked\":1}");
        body = checkup(f);
        ck_assert_msg(strstr(body, "web1 did not answer"), "%s", body);
        ck_assert_uint_ge(f->env.now_us - begin_us, 2 * US_PER_S);
        ck_assert_uint_le(f->env.now_us - begin_us, 3 * US_PER_S);
        free(body);
        fixture_free(f);
}
END_TEST

/* A full store cannot be asked through, which is said, and the rest is looked over all the same. */
START_TEST(test_full) {
        Fixture *f = healthy();
        char *body;

        put(f, "/fleet/unit/b.service", UNIT);
        memory_store_set_full(f->memory, true);
        body = checkup(f);
        ck_assert_msg(strstr(body, "the store takes nothing more: full"), "%s", body);
        ck_assert_msg(strstr(body, "the machines cannot be asked how they are"), "%s", body);
        ck_assert_msg(strstr(body, "it is scheduled nowhere"), "%s", body);
        free(body);
        fixture_free(f);
}
END_TEST

/* Of many findings of one check a hundred are told and all are counted. */
START_TEST(test_many) {
        Fixture *f = healthy();
        size_t n = 0;
        char *body;

        for (int i = 0; i < 150; i++) {
                char key[64];

                (void)snprintf(key, sizeof(key), "/fleet/unit/u%d.service", i);
                put(f, key, UNIT);
        }
        body = checkup(f);
        for (const char *at = body; (at = strstr(at, "it is scheduled nowhere")); at++)
                n++;
        ck_assert_uint_eq(n, 100);
        ck_assert_msg(strstr(body, "50 more findings of this kind"), "%s", body);
        ck_assert_msg(strstr(body, "\"name\":\"units\",\"problems\":150"), "%s", body);
        free(body);
        fixture_free(f);
}
END_TEST

/* Without a store the machine says what it can say alone; every other request is turned away. */
START_TEST(test_alone) {
        Fixture *f = healthy();
        char *body;

        api_set_available(f->api, false);
        expect(f, "GET", "/fleet/v1/machines", NULL, 503, NULL);
        expect(f, "PUT", "/fleet/v1/doctor", "{}", 405, NULL);
        body = checkup(f);
        ck_assert_msg(strstr(body, "this machine is not in the cluster: it cannot reach etcd"),
                      "%s", body);
        ck_assert_msg(strstr(body, "look at etcd, or at the machine that serves"), "%s", body);
        free(body);

        api_set_closed(f->api, "its records are in http://b now");
        body = checkup(f);
        ck_assert_msg(strstr(body, "have this machine use the store that has the records now"),
                      "%s", body);
        ck_assert_ptr_null(strstr(body, "look at etcd"));
        free(body);
        fixture_free(f);
}
END_TEST

/* A second checkup is turned away while one runs, and a client that goes ends its own. */
START_TEST(test_one_at_a_time) {
        static const char get[] = "GET /fleet/v1/doctor HTTP/1.1\r\nHost: x\r\n\r\n";
        Fixture *f = healthy();
        Client client = client_open(f);
        char *body;

        put(f, "/fleet/report/m1/1", NULL);
        client_send(f, &client, get, sizeof(get) - 1);
        fixture_settle(f, &client);
        expect(f, "GET", "/fleet/v1/doctor", NULL, 503, NULL);
        client_close(&client);
        fixture_settle(f, NULL);
        answer(f, "/fleet/report/m1/1", 0, "");
        body = checkup(f);
        ck_assert_msg(strstr(body, "\"findings\":[]"), "%s", body);
        free(body);
        fixture_free(f);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_healthy, test_findings, test_destroyed,    test_holds,
                                       test_clocks,  test_versions, test_patience,     test_full,
                                       test_many,    test_alone,    test_one_at_a_time };

        return tests_run("api doctor", tests, ELEMENTSOF(tests));
}
