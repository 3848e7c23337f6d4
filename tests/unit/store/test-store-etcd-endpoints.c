/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>

#include "lib/store/store-etcd-endpoints.h"

#include <errno.h>

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

/* Parse one URL. */
static int parse(const char *url, EtcdEndpoints *ret_endpoints, Diag *diag) {
        StrList urls = { 0 };
        int r;

        ck_assert_int_eq(strlist_add(&urls, url), 0);
        r = etcd_endpoints_init(ret_endpoints, &urls, env_system(), diag);
        strlist_done(&urls);
        return r;
}

static void assert_parses(const char *url, const char *host, uint16_t port) {
        EtcdEndpoints endpoints;

        ck_assert_int_eq(parse(url, &endpoints, NULL), 0);
        ck_assert_str_eq(etcd_endpoints_current(&endpoints)->host, host);
        ck_assert_uint_eq(etcd_endpoints_current(&endpoints)->port, port);
        ck_assert_str_eq(etcd_endpoints_current(&endpoints)->url, url);
        etcd_endpoints_done(&endpoints);
}

/* Names, IPv4 and bracketed IPv6 addresses are taken. */
START_TEST(test_good_urls) {
        assert_parses("http://127.0.0.1:2379", "127.0.0.1", 2379);
        assert_parses("http://etcd-1.example:65535/", "etcd-1.example", 65535);
        assert_parses("http://[::1]:1", "::1", 1);
        assert_parses("https://etcd-1.example:2379/", "etcd-1.example", 2379);
        assert_parses("https://[::1]:1", "::1", 1);
}
END_TEST

/* What cannot be an endpoint is refused with a message that names it. */
START_TEST(test_bad_urls) {
        static const char *const urls[] = {
                "",
                "127.0.0.1:2379",
                "http://",
                "http://:2379",
                "http://host",
                "http://host:",
                "http://host:0",
                "http://host:65536",
                "http://host:23x",
                "http://host:2379/path",
                "http://user@host:2379",
                "http://::1:2379",
                "http://[]:2379",
                "http://[::1:2379",
                "https://host",
                "HTTPS://host:2379",
                "unix:///run/etcd",
        };

        for (size_t i = 0; i < ELEMENTSOF(urls); i++) {
                EtcdEndpoints endpoints;
                Diag diag = { 0 };

                ck_assert_int_eq(parse(urls[i], &endpoints, &diag), -EINVAL);
                ck_assert_ptr_nonnull(strstr(diag.message, urls[i]));
        }
}
END_TEST

/* An empty list is refused, too. */
START_TEST(test_no_urls) {
        EtcdEndpoints endpoints;
        StrList urls = { 0 };
        Diag diag = { 0 };

        ck_assert_int_eq(etcd_endpoints_init(&endpoints, &urls, env_system(), &diag), -EINVAL);
        ck_assert_str_ne(diag.message, "");
}
END_TEST

static void init_three(EtcdEndpoints *endpoints) {
        static const char *const names[] = { "http://a:1", "http://b:2", "http://c:3" };
        StrList urls = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                ck_assert_int_eq(strlist_add(&urls, names[i]), 0);
        ck_assert_int_eq(etcd_endpoints_init(endpoints, &urls, env_system(), NULL), 0);
        strlist_done(&urls);
}

/* Why an endpoint cannot be used is news once, up to a number of reasons, of each endpoint for
 * itself, and again after it could be used. */
START_TEST(test_trouble) {
        EtcdEndpoints endpoints;

        init_three(&endpoints);
        ck_assert(etcd_endpoints_note_trouble(&endpoints, "refused"));
        ck_assert(!etcd_endpoints_note_trouble(&endpoints, "refused"));
        ck_assert(etcd_endpoints_note_trouble(&endpoints, "expired"));
        for (int i = 0; i < 10; i++) {
                ck_assert(!etcd_endpoints_note_trouble(&endpoints, "refused"));
                ck_assert(!etcd_endpoints_note_trouble(&endpoints, "expired"));
        }
        for (int i = 2; i < 20; i++) {
                char why[16];

                (void)snprintf(why, sizeof(why), "cause %d", i);
                ck_assert_int_eq(etcd_endpoints_note_trouble(&endpoints, why),
                                 i < ETCD_TROUBLES_MAX);
        }
        (void)etcd_endpoints_fail(&endpoints, env_system());
        ck_assert(etcd_endpoints_note_trouble(&endpoints, "expired"));
        etcd_endpoints_forget_trouble(&endpoints);
        ck_assert(etcd_endpoints_note_trouble(&endpoints, "expired"));
        etcd_endpoints_done(&endpoints);
}
END_TEST

/* Endpoints are tried in turn, at once; only after each whole round there is a pause, of 0.2 to
 * 2 s, that grows in the mean. */
START_TEST(test_rotation) {
        EtcdEndpoints endpoints;
        uint64_t sum_early_us = 0, sum_late_us = 0;

        for (int run = 0; run < 200; run++) {
                init_three(&endpoints);
                for (int i = 1; i <= 30; i++) {
                        size_t before = endpoints.current;
                        uint64_t delay_us = etcd_endpoints_fail(&endpoints, env_system());

                        ck_assert_uint_eq(endpoints.current, (before + 1) % 3);
                        if (i % 3 != 0) {
                                ck_assert_uint_eq(delay_us, 0);
                                continue;
                        }
                        ck_assert_uint_ge(delay_us, ETCD_BACKOFF_MIN_US);
                        ck_assert_uint_le(delay_us, ETCD_BACKOFF_MAX_US);
                        if (i == 3) {
                                ck_assert_uint_le(delay_us, 2 * ETCD_BACKOFF_MIN_US);
                                sum_early_us += delay_us;
                        }
                        if (i == 30)
                                sum_late_us += delay_us;
                }
                etcd_endpoints_done(&endpoints);
        }
        ck_assert_uint_gt(sum_late_us, 2 * sum_early_us);
}
END_TEST

/* A success starts the count anew. */
START_TEST(test_success_forgets) {
        EtcdEndpoints endpoints;

        init_three(&endpoints);
        for (int i = 0; i < 100; i++) {
                ck_assert_uint_eq(etcd_endpoints_fail(&endpoints, env_system()), 0);
                ck_assert_uint_eq(etcd_endpoints_fail(&endpoints, env_system()), 0);
                etcd_endpoints_succeed(&endpoints);
        }
        etcd_endpoints_done(&endpoints);
}
END_TEST

/* Clients do not all begin with the same endpoint. */
START_TEST(test_random_start) {
        bool seen[3] = { false };

        for (int i = 0; i < 200; i++) {
                EtcdEndpoints endpoints;

                init_three(&endpoints);
                seen[endpoints.current] = true;
                etcd_endpoints_done(&endpoints);
        }
        ck_assert(seen[0]);
        ck_assert(seen[1]);
        ck_assert(seen[2]);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_good_urls, test_bad_urls,        test_no_urls,      test_rotation,
                test_trouble,   test_success_forgets, test_random_start,
        };

        return tests_run("store-etcd-endpoints", tests, ELEMENTSOF(tests));
}
