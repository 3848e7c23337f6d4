/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/store/grpc-status.h"

#include <errno.h>

#include "lib/base/env.h"
#include "lib/base/macro.h"
#include "tests/unit/fault.h"

static GrpcCode code_of(const char *text) {
        return grpc_code_from_text((const uint8_t *)text, strlen(text));
}

/* Known codes are read, everything else is UNKNOWN. */
START_TEST(test_codes) {
        ck_assert_int_eq(code_of("0"), GRPC_OK);
        ck_assert_int_eq(code_of("14"), GRPC_UNAVAILABLE);
        ck_assert_int_eq(code_of("16"), GRPC_UNAUTHENTICATED);
        ck_assert_int_eq(code_of("17"), GRPC_UNKNOWN);
        ck_assert_int_eq(code_of(""), GRPC_UNKNOWN);
        ck_assert_int_eq(code_of("-1"), GRPC_UNKNOWN);
        ck_assert_int_eq(code_of("4294967296"), GRPC_UNKNOWN);
}
END_TEST

/* HTTP statuses mean what gRPC's table says. */
START_TEST(test_http_statuses) {
        ck_assert_int_eq(grpc_code_from_http_status(401), GRPC_UNAUTHENTICATED);
        ck_assert_int_eq(grpc_code_from_http_status(404), GRPC_UNIMPLEMENTED);
        ck_assert_int_eq(grpc_code_from_http_status(503), GRPC_UNAVAILABLE);
        ck_assert_int_eq(grpc_code_from_http_status(200), GRPC_UNKNOWN);
}
END_TEST

static void assert_decodes(const char *text, const char *wanted) {
        _cleanup_(freep) char *decoded = grpc_message_decode((const uint8_t *)text, strlen(text));

        ck_assert_str_eq(decoded, wanted);
}

/* Percent-encoding is undone, broken encoding is kept, nothing can break a line of a log, and
 * the length is limited. */
START_TEST(test_messages) {
        char text[3 * GRPC_STATUS_MESSAGE_MAX + 1], wanted[GRPC_STATUS_MESSAGE_MAX + 1];

        assert_decodes("", "");
        assert_decodes("a%20b%C3%a4%25", "a b\xc3\xa4%");
        assert_decodes("100%", "100%");
        assert_decodes("%2", "%2");
        assert_decodes("%zz", "%zz");
        assert_decodes("a%0Ab%00c\x7f", "a b c ");

        for (size_t i = 0; i < GRPC_STATUS_MESSAGE_MAX; i++)
                memcpy(text + 3 * i, "%41", 4);
        memset(wanted, 'A', sizeof wanted - 1);
        wanted[sizeof wanted - 1] = '\0';
        assert_decodes(text, wanted);
        memset(text, 'A', sizeof text - 1);
        assert_decodes(text, wanted);
}
END_TEST

/* A timeout is told in milliseconds, within what the header can hold. */
START_TEST(test_timeouts) {
        char text[GRPC_TIMEOUT_TEXT_BYTES];

        grpc_timeout_format(1500 * US_PER_MS, text);
        ck_assert_str_eq(text, "1500m");
        grpc_timeout_format(1, text);
        ck_assert_str_eq(text, "1m");
        grpc_timeout_format(UINT64_MAX, text);
        ck_assert_str_eq(text, "99999999m");
}
END_TEST

static int parse(const char *text, uint64_t *ret_us) {
        return grpc_timeout_parse((const uint8_t *)text, strlen(text), ret_us);
}

/* What clients send as a timeout is understood in every unit, and nothing else is. */
START_TEST(test_parsed_timeouts) {
        static const char *const wrong[] = {
                "", "5", "S", "1s", "-1S", "1.5S", "123456789S", " 1S"
        };
        static const struct {
                const char *text;
                uint64_t us;
        } right[] = {
                { "2H", UINT64_C(7200) * US_PER_S },
                { "1M", 60 * US_PER_S },
                { "0S", 0 },
                { "99999999m", UINT64_C(99999999) * US_PER_MS },
                { "7u", 7 },
                { "2999n", 2 },
        };
        uint64_t us = 17;

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
                ck_assert_int_eq(parse(wrong[i], &us), -EINVAL);
        ck_assert_uint_eq(us, 17);
        for (size_t i = 0; i < ELEMENTSOF(right); i++) {
                ck_assert_int_eq(parse(right[i].text, &us), 0);
                ck_assert_uint_eq(us, right[i].us);
        }
}
END_TEST

/* What is written as a message is read as the same, and is printable ASCII on its way; it is cut
 * where reading cuts it. */
START_TEST(test_encoded_messages) {
        char text[GRPC_STATUS_MESSAGE_TEXT_BYTES], longer[2 * GRPC_STATUS_MESSAGE_MAX];

        grpc_message_encode("etcdserver: 100% \xc3\xa4\n", text);
        ck_assert_str_eq(text, "etcdserver: 100%25 %C3%A4%0A");
        assert_decodes(text, "etcdserver: 100% \xc3\xa4 ");

        memset(longer, 0x7f, sizeof longer - 1);
        longer[sizeof longer - 1] = '\0';
        grpc_message_encode(longer, text);
        ck_assert_uint_eq(strlen(text), 3 * GRPC_STATUS_MESSAGE_MAX);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_codes,    test_http_statuses,   test_messages,
                                       test_timeouts, test_parsed_timeouts, test_encoded_messages };

        return tests_run("grpc-status", tests, ELEMENTSOF(tests));
}
