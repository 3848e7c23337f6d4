/* SPDX-License-Identifier: Apache-2.0 */

/* Memory that runs out anywhere in a request: it is answered or its connection closed, nothing
 * leaks (the sanitizers look), and the next request is served.
 */

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/api/fixture.h"
#include "tests/unit/fault.h"

#define OPTIONS \
        "\"options\":[{\"name\":\"ExecStart\",\"section\":\"Service\",\"value\":\"/bin/true\"}]"
#define STATE                                                                                 \
        "{\"active\":\"active\",\"generation\":9,\"load\":\"loaded\",\"state\":\"launched\"," \
        "\"sub\":\"running\"}"

/* The strings in them are short: the lexer of jansson 2.14 does not notice when its buffer for a
 * token of 16 bytes and more cannot grow. */
static const struct {
        const char *line, *body;
} requests[] = {
        { "PUT /fleet/v1/units/new.service", "{" OPTIONS "}" },
        { "POST /fleet/v1/units", "{\"units\":[{\"name\":\"x.service\"," OPTIONS
                                  "},{\"name\":\"y.service\"," OPTIONS "}]}" },
        { "GET /fleet/v1/units/a.service", "" },
        { "GET /fleet/v1/units", "" },
        { "GET /fleet/v1/state", "" },
        { "GET /fleet/v1/state?machineID=m1", "" },
        { "GET /fleet/v1/state/a.service", "" },
        { "GET /fleet/v1/machines", "" },
        { "GET /fleet//v1/machines", "" },
        { "GET /metrics", "" },
        { "PATCH /fleet/v1/machines",
          "[{\"op\":\"add\",\"path\":\"/m/metadata/a\",\"value\":\"b\"}]" },
        { "DELETE /fleet/v1/units/a.service", "" },
        { "POST /fleet/v1/wait",
          "{\"state\":\"launched\",\"timeoutMs\":1000,\"units\":[{\"name\":\"a.service\"}]}" },
        { "POST /fleet/v1/wait",
          "{\"state\":\"gone\",\"timeoutMs\":1000,\"units\":[{\"name\":\"a.service\"}]}" },
};

static Fixture *start(void) {
        Fixture *f = fixture_new(1);

        put(f, "/fleet/machine/m1", "{\"address\":\"10.0.0.1\",\"metadata\":{\"disk\":\"ssd\"}}");
        put(f, "/fleet/machine/m2", "{\"address\":\"10.0.0.2\"}");
        put(f, "/fleet/metadata/m1", "{\"rack\":\"2\"}");
        expect(f, "PUT", "/fleet/v1/units/a.service", "{\"desiredState\":\"launched\"," OPTIONS "}",
               201, "");
        expect(f, "PUT", "/fleet/v1/units/b.service", "{" OPTIONS "}", 201, "");
        put(f, "/fleet/placement/a.service", "{\"generation\":9,\"machine\":\"m1\"}");
        put(f, "/fleet/state/m1/a.service", STATE);
        return f;
}

/* Turn until the client's connection ends; allocates nothing itself. */
static bool drain(Fixture *f, int fd, char *text, size_t n_room) {
        size_t n_text = 0;

        for (int i = 0; i < 4000; i++) {
                ssize_t n;

                (void)loop_turn(f->loop, 0);
                n = recv(fd, text + n_text, n_room - n_text - 1, MSG_DONTWAIT);
                if (n > 0)
                        n_text += (size_t)n;
                else if (n == 0 || errno != EAGAIN)
                        return true;
                text[n_text] = '\0';
                if (i % 40 == 39 && loop_next_due_us(f->loop) != UINT64_MAX &&
                    loop_next_due_us(f->loop) > f->env.now_us)
                        f->env.now_us = loop_next_due_us(f->loop);
        }
        return false;
}

START_TEST(test_each_allocation) {
        static char text[1024 * 1024];
        bool has_failed = true;
        char head[1024];

        for (size_t n = 0; has_failed; n++) {
                Fixture *f = start();
                Client client = client_open(f);
                bool has_ended;

                text[0] = '\0';
                (void)snprintf(head, sizeof(head),
                               "%s HTTP/1.1\r\nConnection: close\r\nContent-Type: "
                               "application/json\r\nContent-Length: %zu\r\n\r\n%s",
                               requests[_i].line, strlen(requests[_i].body), requests[_i].body);
                ck_assert_int_eq(send(client.fd, head, strlen(head), MSG_NOSIGNAL),
                                 (ssize_t)strlen(head));
                fault_arm(n);
                has_ended = drain(f, client.fd, text, sizeof(text));
                has_failed = fault_disarm();
                ck_assert_msg(has_ended, "%s, allocation %zu: no end: %s", requests[_i].line, n,
                              text);
                ck_assert_msg(has_failed || strncmp(text, "HTTP/1.1 2", 10) == 0 ||
                                      strncmp(text, "HTTP/1.1 3", 10) == 0,
                              "%s: %s", requests[_i].line, text);
                client_close(&client);
                expect(f, "GET", "/fleet/v1/units", NULL, 200, NULL);
                fixture_free(f);
        }
}
END_TEST

int main(void) {
        Suite *suite = suite_create("api oom");
        TCase *cases = tcase_create("allocations");
        SRunner *runner;
        int n_failed;

        tcase_set_timeout(cases, 300);
        tcase_add_loop_test(cases, test_each_allocation, 0, (int)ELEMENTSOF(requests));
        suite_add_tcase(suite, cases);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed > 0;
}
