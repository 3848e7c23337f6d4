/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/store/store-etcd-outcome.h"

#include "lib/store/store.h"
#include "tests/unit/fault.h"

/* One way for a call to end, and what it means. */
typedef struct Row {
        GrpcStatus status;
        int read_outcome;
        int write_outcome;
        bool blames_member;
        bool wants_token;
} Row;

static const Row rows[] = {
        { { GRPC_INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request", false, true },
          STORE_E_INVALID,
          STORE_E_INVALID,
          false,
          false },
        { { GRPC_INVALID_ARGUMENT, "etcdserver: request is too large", false, true },
          STORE_E_TOO_LARGE,
          STORE_E_TOO_LARGE,
          false,
          false },
        { { GRPC_INVALID_ARGUMENT, "etcdserver: user name is empty", false, true },
          STORE_E_DENIED,
          STORE_E_DENIED,
          false,
          true },
        { { GRPC_INVALID_ARGUMENT, "etcdserver: revision of auth store is old", false, true },
          STORE_E_DENIED,
          STORE_E_DENIED,
          false,
          true },
        { { GRPC_NOT_FOUND, "etcdserver: requested lease not found", false, true },
          STORE_E_NO_LEASE,
          STORE_E_NO_LEASE,
          false,
          false },
        { { GRPC_PERMISSION_DENIED, "etcdserver: permission denied", false, true },
          STORE_E_DENIED,
          STORE_E_DENIED,
          false,
          false },
        { { GRPC_UNAUTHENTICATED, "etcdserver: invalid auth token", false, true },
          STORE_E_DENIED,
          STORE_E_DENIED,
          false,
          true },
        { { GRPC_RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded", false, true },
          STORE_E_NO_SPACE,
          STORE_E_NO_SPACE,
          false,
          false },
        { { GRPC_RESOURCE_EXHAUSTED, "grpc: received message larger than max (2097200 vs. 2097152)",
            false, true },
          STORE_E_TOO_LARGE,
          STORE_E_TOO_LARGE,
          false,
          false },
        { { GRPC_RESOURCE_EXHAUSTED, "etcdserver: too many requests", false, true },
          STORE_E_UNREACHABLE,
          STORE_E_UNREACHABLE,
          false,
          false },
        { { GRPC_RESOURCE_EXHAUSTED, "something new", false, true },
          STORE_E_UNREACHABLE,
          STORE_E_UNKNOWN,
          false,
          false },
        { { GRPC_FAILED_PRECONDITION, "etcdserver: lease already exists", false, true },
          STORE_E_INVALID,
          STORE_E_INVALID,
          false,
          false },
        { { GRPC_OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted", false,
            true },
          STORE_E_COMPACTED,
          STORE_E_COMPACTED,
          false,
          false },
        { { GRPC_OUT_OF_RANGE, "etcdserver: too large lease TTL", false, true },
          STORE_E_INVALID,
          STORE_E_INVALID,
          false,
          false },
        { { GRPC_UNAVAILABLE, "etcdserver: no leader", false, true },
          STORE_E_UNREACHABLE,
          STORE_E_UNREACHABLE,
          true,
          false },
        { { GRPC_UNAVAILABLE, "etcdserver: request timed out", false, true },
          STORE_E_UNREACHABLE,
          STORE_E_UNKNOWN,
          true,
          false },
        { { GRPC_UNAVAILABLE, "etcdserver: leader changed", false, true },
          STORE_E_UNREACHABLE,
          STORE_E_UNKNOWN,
          true,
          false },
        { { GRPC_UNAVAILABLE, "transport is closing", false, true },
          STORE_E_UNREACHABLE,
          STORE_E_UNKNOWN,
          true,
          false },
        { { GRPC_UNKNOWN, "context deadline exceeded", false, true },
          STORE_E_UNREACHABLE,
          STORE_E_UNKNOWN,
          true,
          false },
        { { GRPC_DEADLINE_EXCEEDED, "context deadline exceeded", false, true },
          STORE_E_UNREACHABLE,
          STORE_E_UNKNOWN,
          true,
          false },
        { { GRPC_INTERNAL, "boom", false, true },
          STORE_E_UNREACHABLE,
          STORE_E_UNKNOWN,
          true,
          false },
        { { GRPC_UNIMPLEMENTED, "unknown method", false, true },
          STORE_E_INVALID,
          STORE_E_INVALID,
          true,
          false },
        { { GRPC_UNAVAILABLE, "the connection broke", true, true },
          STORE_E_UNREACHABLE,
          STORE_E_UNKNOWN,
          true,
          false },
        { { GRPC_UNAVAILABLE, "the connection broke", true, false },
          STORE_E_UNREACHABLE,
          STORE_E_UNREACHABLE,
          true,
          false },
        { { GRPC_UNAVAILABLE, "etcdserver: no leader", true, true },
          STORE_E_UNREACHABLE,
          STORE_E_UNKNOWN,
          true,
          false },
        { { GRPC_DEADLINE_EXCEEDED, "no answer in time", true, true },
          STORE_E_UNREACHABLE,
          STORE_E_UNKNOWN,
          true,
          false },
        { { GRPC_RESOURCE_EXHAUSTED, "the reply is too large", true, true },
          STORE_E_TOO_LARGE,
          STORE_E_UNKNOWN,
          false,
          false },
        { { GRPC_PERMISSION_DENIED, "the server does not speak gRPC", true, true },
          STORE_E_UNREACHABLE,
          STORE_E_UNKNOWN,
          true,
          false },
};

/* Every end of a call means what the table says; a doubt about a write is UNKNOWN. */
START_TEST(test_rows) {
        const Row *row = &rows[_i];

        ck_assert_int_eq(etcd_outcome(&row->status, false, 1000), row->read_outcome);
        ck_assert_int_eq(etcd_outcome(&row->status, true, 1000), row->write_outcome);
        ck_assert_int_eq(etcd_status_blames_member(&row->status, 3 * US_PER_S), row->blames_member);
        ck_assert_int_eq(etcd_status_wants_token(&row->status), row->wants_token);
}
END_TEST

/* "No leader" after a while may be about a request that had been taken on. */
START_TEST(test_late_no_leader) {
        GrpcStatus status = { GRPC_UNAVAILABLE, "etcdserver: no leader", false, true };

        ck_assert_int_eq(etcd_outcome(&status, true, 2 * US_PER_S), STORE_E_UNKNOWN);
        ck_assert_int_eq(etcd_outcome(&status, false, 2 * US_PER_S), STORE_E_UNREACHABLE);
}
END_TEST

/* A call that had hardly any time accuses nobody when it runs out, but a lost connection does. */
START_TEST(test_patience) {
        GrpcStatus late = { GRPC_DEADLINE_EXCEEDED, "no answer in time", true, true };
        GrpcStatus lost = { GRPC_UNAVAILABLE, "the connection broke", true, true };

        ck_assert(!etcd_status_blames_member(&late, ETCD_PATIENCE_US - 1));
        ck_assert(etcd_status_blames_member(&late, ETCD_PATIENCE_US));
        ck_assert(etcd_status_blames_member(&lost, 0));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("store-etcd-outcome");
        TCase *cases = tcase_create("all");
        SRunner *runner = srunner_create(suite);
        int n_failed;

        tcase_add_loop_test(cases, test_rows, 0, ELEMENTSOF(rows));
        tcase_add_test(cases, test_late_no_leader);
        tcase_add_test(cases, test_patience);
        suite_add_tcase(suite, cases);
        srunner_run_all(runner, CK_ENV);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed > 0;
}
