/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/serve/serve.h"
#include "tests/unit/fault.h"

/* An address as one writes it, and what it is; host NULL = refused. */
static const struct {
        const char *text;
        const char *host;
        uint16_t port;
        bool is_loopback;
} rows[] = {
        { "2379", "127.0.0.1", 2379, true },
        { ":2379", "127.0.0.1", 2379, true },
        { "127.0.0.2:1", "127.0.0.2", 1, true },
        { "10.0.0.1:65535", "10.0.0.1", 65535, false },
        { "0.0.0.0:2379", "0.0.0.0", 2379, false },
        { "[::1]:2379", "::1", 2379, true },
        { "[::]:2379", "::", 2379, false },
        { "[fd00::1]:2379", "fd00::1", 2379, false },
        { "", NULL, 0, false },
        { ":", NULL, 0, false },
        { "10.0.0.1", NULL, 0, false },
        { "10.0.0.1:", NULL, 0, false },
        { "10.0.0.1:0", NULL, 0, false },
        { "10.0.0.1:65536", NULL, 0, false },
        { "10.0.0.1:+1", NULL, 0, false },
        { "10.0.0.1: 1", NULL, 0, false },
        { "10.0.0:1", NULL, 0, false },
        { "localhost:2379", NULL, 0, false },
        { "::1:2379", NULL, 0, false },
        { "[10.0.0.1]:2379", NULL, 0, false },
        { "[]:2379", NULL, 0, false },
        { "http://10.0.0.1:2379", NULL, 0, false },
        { "1111111111111111111111111111111111111111111111111111111111111111111:1", NULL, 0, false },
};

START_TEST(test_parse) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                ServeAddress address = { 0 };
                Diag diag = { 0 };
                int r = serve_address_parse(rows[i].text, &address, &diag);

                ck_assert_msg((r == 0) == (rows[i].host != NULL), "%s", rows[i].text);
                if (!rows[i].host) {
                        ck_assert_ptr_nonnull(strstr(diag.message, "is no address to listen on"));
                        continue;
                }
                ck_assert_str_eq(address.host, rows[i].host);
                ck_assert_uint_eq(address.port, rows[i].port);
                ck_assert_int_eq(address.is_loopback, rows[i].is_loopback);
        }
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_parse };

        return tests_run("serve-address", tests, ELEMENTSOF(tests));
}
