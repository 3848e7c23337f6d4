/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetctl/endpoint.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/macro.h"
#include "tests/unit/fault.h"

/* What is good is taken apart. */
START_TEST(test_good) {
        static const struct {
                const char *text, *socket_path, *base_url;
                bool is_tls;
        } cases[] = {
                { "unix:///var/run/fleet.sock", "/var/run/fleet.sock", "http://domain-sock",
                  false },
                { "file:///tmp/f.sock", "/tmp/f.sock", "http://domain-sock", false },
                { "http://10.77.0.11:49153", NULL, "http://10.77.0.11:49153", false },
                { "http://[::1]:80//", NULL, "http://[::1]:80", false },
                { "https://fleet.example:8443/", NULL, "https://fleet.example:8443", true },
                { "HTTPS://h", NULL, "https://h", true },
                { "Unix:///S", "/S", "http://domain-sock", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(endpoint_done) Endpoint endpoint = { 0 };

                ck_assert_int_eq(endpoint_parse(cases[i].text, &endpoint, NULL), 0);
                ck_assert_str_eq(endpoint.text, cases[i].text);
                ck_assert_str_eq(endpoint.base_url, cases[i].base_url);
                ck_assert_pstr_eq(endpoint.socket_path, cases[i].socket_path);
                ck_assert_int_eq(endpoint.is_tls, cases[i].is_tls);
        }
}
END_TEST

#define HOW_TO_WRITE ": write unix:///PATH, http://HOST:PORT or https://HOST:PORT"

/* What is bad says what is wrong with it and what is right. */
START_TEST(test_bad) {
        static const struct {
                const char *text, *message;
        } cases[] = {
                { "", "URL scheme undefined in \"\"" HOW_TO_WRITE },
                { "10.0.0.1:49153", "URL scheme undefined in \"10.0.0.1:49153\"" HOW_TO_WRITE },
                { "://x", "URL scheme undefined in \"://x\"" HOW_TO_WRITE },
                { "unix://var/run/x", "unable to connect to host \"var\" with scheme \"unix\": the "
                                      "path of a socket begins with a third slash, unix:///PATH" },
                { "ftp://h", "unsupported URL scheme \"ftp\"" HOW_TO_WRITE },
                { "http://", "the endpoint \"http://\" names no host: http://HOST:PORT" },
                { "http://:80", "the endpoint \"http://:80\" names no host: http://HOST:PORT" },
                { "https:///x", "the endpoint \"https:///x\" names no host: https://HOST:PORT" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Endpoint endpoint = { 0 };
                Diag diag = { 0 };

                ck_assert_int_eq(endpoint_parse(cases[i].text, &endpoint, &diag), -EINVAL);
                ck_assert_str_eq(diag.message, cases[i].message);
                ck_assert_ptr_null(endpoint.text);
        }
}
END_TEST

/* A path that does not fit a socket address is refused before it is cut (unix(7): 107 bytes and a
 * NUL). */
START_TEST(test_long_path) {
        char text[7 + 108 + 1] = "unix:///";
        Endpoint endpoint = { 0 };

        memset(text + 8, 'x', sizeof(text) - 9);
        ck_assert_int_eq(endpoint_parse(text, &endpoint, NULL), -EINVAL);
        text[sizeof(text) - 2] = '\0';
        ck_assert_int_eq(endpoint_parse(text, &endpoint, NULL), 0);
        endpoint_done(&endpoint);
}
END_TEST

static char logged[256];

static void keep_line(int priority, const LogSubject *subject, const char *text) {
        (void)priority;
        (void)subject;
        (void)snprintf(logged, sizeof(logged), "%s", text);
}

/* Of several the first counts, with a warning. */
START_TEST(test_list) {
        _cleanup_(endpoint_done) Endpoint endpoint = { 0 };

        log_set_sink(keep_line);
        ck_assert_int_eq(endpoint_parse("http://a:1,http://b:2", &endpoint, NULL), 0);
        log_set_sink(NULL);
        ck_assert_str_eq(endpoint.base_url, "http://a:1");
        ck_assert_str_eq(logged,
                         "multiple endpoints provided but only the first (http://a:1) is used");
}
END_TEST

static int run_parse(void *context) {
        Endpoint endpoint = { 0 };
        int r = endpoint_parse(context, &endpoint, NULL);

        endpoint_done(&endpoint);
        return r;
}

/* Without memory it fails and leaks nothing. */
START_TEST(test_survives_oom) {
        ck_assert_uint_ge(fault_sweep(run_parse, (void *)"unix:///x"), 3);
        ck_assert_uint_ge(fault_sweep(run_parse, (void *)"https://x"), 2);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_good, test_bad, test_long_path, test_list,
                                       test_survives_oom };

        return tests_run("endpoint", tests, ELEMENTSOF(tests));
}
