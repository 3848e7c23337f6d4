/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/store/grpc-frame.h"

#include <errno.h>

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

/* Take a message and compare it. */
static void assert_message(GrpcFrameReader *reader, const char *wanted) {
        GrpcMessage *message = grpc_frame_reader_pop(reader);

        ck_assert_ptr_nonnull(message);
        ck_assert_uint_eq(message->n_bytes, strlen(wanted));
        ck_assert_int_eq(memcmp(message->bytes, wanted, message->n_bytes), 0);
        free(message);
}

/* Messages come out whole and in order, however the bytes are cut, also empty ones. */
START_TEST(test_any_cut) {
        static const uint8_t bytes[] = "\0\0\0\0\3one\0\0\0\0\0\0\0\0\0\2ab";
        size_t n_bytes = sizeof bytes - 1;

        for (size_t n_piece = 1; n_piece <= n_bytes; n_piece++) {
                GrpcFrameReader reader = { 0 };

                for (size_t at = 0; at < n_bytes; at += n_piece) {
                        size_t n = n_bytes - at < n_piece ? n_bytes - at : n_piece;

                        ck_assert_int_eq(grpc_frame_reader_feed(&reader, bytes + at, n), 0);
                }
                ck_assert(!grpc_frame_reader_is_midway(&reader));
                assert_message(&reader, "one");
                assert_message(&reader, "");
                assert_message(&reader, "ab");
                ck_assert_ptr_null(grpc_frame_reader_pop(&reader));
                grpc_frame_reader_done(&reader);
        }
}
END_TEST

/* A message that is not complete shows. */
START_TEST(test_midway) {
        GrpcFrameReader reader = { 0 };

        ck_assert(!grpc_frame_reader_is_midway(&reader));
        ck_assert_int_eq(grpc_frame_reader_feed(&reader, (const uint8_t *)"\0", 1), 0);
        ck_assert(grpc_frame_reader_is_midway(&reader));
        ck_assert_int_eq(grpc_frame_reader_feed(&reader, (const uint8_t *)"\0\0\0\4xyz", 7), 0);
        ck_assert(grpc_frame_reader_is_midway(&reader));
        ck_assert_ptr_null(grpc_frame_reader_pop(&reader));
        grpc_frame_reader_done(&reader);
        ck_assert(!grpc_frame_reader_is_midway(&reader));
}
END_TEST

/* A length above the limit is refused when it is read; so is compression. */
START_TEST(test_refused) {
        GrpcFrameReader reader = { 0 };

        ck_assert_int_eq(grpc_frame_reader_feed(&reader, (const uint8_t *)"\0\4\0\0\1", 5),
                         -EMSGSIZE);
        grpc_frame_reader_done(&reader);
        ck_assert_int_eq(grpc_frame_reader_feed(&reader, (const uint8_t *)"\1\0\0\0\1", 5),
                         -EPROTO);
        grpc_frame_reader_done(&reader);
        ck_assert_int_eq(grpc_frame_reader_feed(&reader, (const uint8_t *)"\0\0\0\0\1x", 6), 0);
        assert_message(&reader, "x");
        grpc_frame_reader_done(&reader);
}
END_TEST

static int feed_one(void *context) {
        GrpcFrameReader reader = { 0 };
        int r = grpc_frame_reader_feed(&reader, (const uint8_t *)"\0\0\0\0\1x", 6);

        (void)context;
        grpc_frame_reader_done(&reader);
        return r;
}

/* Out of memory is an error without a leak. */
START_TEST(test_out_of_memory) {
        ck_assert_uint_eq(fault_sweep(feed_one, NULL), 1);
}
END_TEST

/* What is framed for sending reads back as itself. */
START_TEST(test_round_trip) {
        GrpcFrameReader reader = { 0 };
        GrpcMessage *message;

        ck_assert_int_eq(grpc_message_new_framed(&message, 70000), 0);
        memset(message->bytes + GRPC_FRAME_HEADER_BYTES, 'q', 70000);
        ck_assert_int_eq(grpc_frame_reader_feed(&reader, message->bytes, message->n_bytes), 0);
        free(message);
        message = grpc_frame_reader_pop(&reader);
        ck_assert_uint_eq(message->n_bytes, 70000);
        ck_assert_int_eq(message->bytes[69999], 'q');
        free(message);

        ck_assert_int_eq(grpc_message_new_framed(&message, GRPC_MESSAGE_MAX_BYTES + 1), -EMSGSIZE);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_any_cut, test_midway, test_refused, test_out_of_memory, test_round_trip,
        };

        return tests_run("grpc-frame", tests, ELEMENTSOF(tests));
}
