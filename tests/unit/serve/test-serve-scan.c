/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>

#include "lib/serve/serve-scan.h"
#include "lib/store/store-command.h"
#include "tests/unit/fault.h"

/* A message of at most this size. */
enum { ROOM = 4096 };

typedef struct Bytes {
        uint8_t bytes[ROOM];
        size_t n;
} Bytes;

static void add(Bytes *to, const char *bytes, size_t n) {
        ck_assert_uint_le(to->n + n, ROOM);
        memcpy(to->bytes + to->n, bytes, n);
        to->n += n;
}

/* Wraps what there is into a field of bytes, shorter than 16 KiB. */
static void wrap(Bytes *message, unsigned field) {
        const Bytes inner = *message;
        const char head[] = { (char)(field << 3 | 2), (char)((inner.n & 0x7f) | 0x80),
                              (char)(inner.n >> 7) };

        message->n = 0;
        add(message, head, sizeof(head));
        add(message, (const char *)inner.bytes, inner.n);
}

static int scan(const Bytes *message) {
        return serve_scan_txn(message->bytes, message->n, STORE_TXN_OPS_MAX);
}

/* 128 of each list are taken, and no more of any. */
START_TEST(test_counts) {
        for (unsigned field = 1; field <= 3; field++) {
                const char empty[] = { (char)(field << 3 | 2), 0 };
                Bytes message = { 0 };

                for (unsigned i = 0; i < STORE_TXN_OPS_MAX; i++)
                        add(&message, empty, sizeof(empty));
                ck_assert_int_eq(scan(&message), 0);
                add(&message, empty, sizeof(empty));
                ck_assert_int_eq(scan(&message), STORE_E_TOO_MANY);
        }
}
END_TEST

/* Each level of nesting takes its operations off what the next may have. */
START_TEST(test_depth) {
        Bytes message = { 0 };

        for (unsigned depth = 1; depth <= STORE_TXN_OPS_MAX; depth++) {
                ck_assert_int_eq(scan(&message), 0);
                wrap(&message, 4); /* a transaction */
                wrap(&message, depth % 2 ? 2 : 3);
        }
        ck_assert_int_eq(scan(&message), STORE_E_TOO_MANY);
}
END_TEST

/* What is nested counts beside the longest list of the level above. */
START_TEST(test_nested_counts) {
        for (unsigned n_inner = 27; n_inner <= 29; n_inner++) {
                Bytes message = { 0 };

                for (unsigned i = 0; i < n_inner; i++)
                        add(&message, "\x12\x00", 2);
                wrap(&message, 4);
                wrap(&message, 2);
                for (unsigned i = 0; i < 100; i++)
                        add(&message, "\x0a\x00", 2);
                ck_assert_int_eq(scan(&message), n_inner <= 28 ? 0 : STORE_E_TOO_MANY);
        }
}
END_TEST

static const struct {
        const char *bytes;
        size_t n;
        int result;
} rows[] = {
        { "", 0, 0 },
        { "\x08\x05", 2, 0 },                     /* a number where there should be bytes */
        { "\x78\x05\x7d\x01\x02\x03\x04", 7, 0 }, /* fields that are not known */
        { "\x79\x01\x02\x03\x04\x05\x06\x07\x08", 9, 0 },
        { "\x12\x05", 2, -EBADMSG },         /* cut off */
        { "\x12\x02\x22\x05", 4, -EBADMSG }, /* within */
        { "\x12", 1, -EBADMSG },
        { "\x7d\x01", 2, -EBADMSG },
        { "\x0b\x0c", 2, -EBADMSG },                                      /* a group */
        { "\x0f", 1, -EBADMSG },                                          /* no wire type */
        { "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, -EBADMSG }, /* no number */
        { "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, -EBADMSG }, /* a huge length */
};

START_TEST(test_what_is_no_message) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                ck_assert_msg(serve_scan_txn((const uint8_t *)rows[i].bytes, rows[i].n,
                                             STORE_TXN_OPS_MAX) == rows[i].result,
                              "row %zu", i);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_counts, test_depth, test_nested_counts,
                                       test_what_is_no_message };

        return tests_run("serve-scan", tests, ELEMENTSOF(tests));
}
