/* SPDX-License-Identifier: Apache-2.0 */

/* The store's contract: leases. */

#include "tests/contract/harness.h"

/* A lease that no store ever granted. */
static const int64_t unknown_lease = 0x7fffffff12345678;

/* Granting tells the lease and its TTL, and two leases are two. */
START_TEST(test_grant) {
        Call *first = lease_grant(30), *second = lease_grant(40);

        ck_assert_int_eq(first->status, 0);
        ck_assert_int_ne(first->reply.lease, 0);
        ck_assert_int_eq(first->reply.lease_ttl_s, 30);
        ck_assert_int_eq(second->reply.lease_ttl_s, 40);
        ck_assert_int_ne(first->reply.lease, second->reply.lease);
}
END_TEST

/* A lease can be granted with the number that it has elsewhere, and is one like others; not twice. */
START_TEST(test_grant_as) {
        const int64_t number = unknown_lease - 1;

        ck_assert_int_eq(lease_keep_alive(number)->status, STORE_E_NO_LEASE);
        ck_assert_int_eq(lease_grant_as(number, 40)->status, 0);
        ck_assert_int_eq(lease_keep_alive(number)->reply.lease_ttl_s, 40);
        ck_assert_int_eq(lease_grant_as(number, 40)->status, STORE_E_INVALID);
        (void)put_with_lease("a", "v", number);
        ck_assert_int_eq(list("a")->kvs[0].lease, number);
        ck_assert_int_eq(lease_revoke(number)->status, 0);
        ck_assert_uint_eq(list("a")->n_kvs, 0);
        ck_assert_int_eq(lease_grant_as(number, 40)->status, 0);
        ck_assert_int_eq(lease_revoke(number)->status, 0);
        ck_assert_int_ne(lease_grant(30)->reply.lease, number);
}
END_TEST

/* A TTL below the least is raised, and the reply says so. */
START_TEST(test_least_ttl) {
        ck_assert_int_eq(lease_grant(1)->reply.lease_ttl_s, STORE_LEASE_TTL_MIN_S);
}
END_TEST

/* A key shows the lease that it hangs on, when read and in events. */
START_TEST(test_lease_is_shown) {
        int64_t lease = granted_lease(60), revision = put_with_lease("a", "v", lease);
        Recorder *recorder = recorder_new(key("a"), (StoreBytes){ 0 }, revision);

        ck_assert_int_eq(list("a")->kvs[0].lease, lease);
        recorder_wait(recorder, 1);
        ck_assert_int_eq(recorder->events[0].lease, lease);
}
END_TEST

/* When a lease runs out, not before its time, all its keys go in one commit, and no others. */
START_TEST(test_expiry) {
        int64_t lease, before;
        uint64_t granted_us;
        Recorder *recorder;

        (void)put("stays", "v");
        granted_us = loop_now_us(harness_loop());
        lease = granted_lease(2);
        (void)put_with_lease("a", "v", lease);
        (void)put_with_lease("b", "v", lease);
        before = put_with_lease("c", "v", lease);
        recorder = recorder_new(key(""), end_of(""), before + 1);

        recorder_wait(recorder, 3);
        ck_assert_uint_ge(loop_now_us(harness_loop()) - granted_us, 2 * US_PER_S);
        ck_assert_uint_le(loop_now_us(harness_loop()) - granted_us, 4 * US_PER_S);
        ck_assert_uint_eq(recorder->n_reports, 1);
        for (size_t i = 0; i < 3; i++) {
                ck_assert(recorder->events[i].is_deletion);
                ck_assert_int_eq(recorder->events[i].mod_revision, before + 1);
        }
        ck_assert(is_key(list("")->kvs[0].key, "stays"));
        ck_assert_int_eq(lease_keep_alive(lease)->status, STORE_E_NO_LEASE);
}
END_TEST

/* A lease that is kept alive does not run out, and does when it no longer is. */
START_TEST(test_keep_alive) {
        int64_t lease = granted_lease(2), before = put_with_lease("a", "v", lease);
        Recorder *recorder = recorder_new(key(""), end_of(""), before + 1);

        for (int i = 0; i < 6; i++) {
                Call *call = lease_keep_alive(lease);

                ck_assert_int_eq(call->status, 0);
                ck_assert_int_eq(call->reply.lease_ttl_s, 2);
                wait_for_us(700 * US_PER_MS);
        }
        ck_assert_uint_eq(recorder->n_events, 0);
        ck_assert_uint_eq(list("a")->n_kvs, 1);
        recorder_wait(recorder, 1);
        ck_assert(recorder->events[0].is_deletion);
}
END_TEST

/* What is left of a lease shrinks while it is looked at, and does not end it; renewed, it is whole
 * again. */
START_TEST(test_look) {
        int64_t lease = granted_lease(60);
        Call *call = lease_look(lease);

        ck_assert_int_eq(call->status, 0);
        ck_assert_int_eq(call->reply.lease_ttl_s, 60);
        ck_assert_int_ge(call->reply.lease_left_s, 58);
        ck_assert_int_le(call->reply.lease_left_s, 60);
        wait_for_us(2500 * US_PER_MS);
        call = lease_look(lease);
        ck_assert_int_ge(call->reply.lease_left_s, 55);
        ck_assert_int_le(call->reply.lease_left_s, 57);
        ck_assert_int_eq(lease_keep_alive(lease)->status, 0);
        ck_assert_int_ge(lease_look(lease)->reply.lease_left_s, 58);
        ck_assert_int_eq(lease_revoke(lease)->status, 0);
        ck_assert_int_eq(lease_look(lease)->status, STORE_E_NO_LEASE);
}
END_TEST

/* A lease that is not there cannot be looked at, kept alive or revoked. */
START_TEST(test_unknown_lease) {
        ck_assert_int_eq(lease_keep_alive(unknown_lease)->status, STORE_E_NO_LEASE);
        ck_assert_int_eq(lease_revoke(unknown_lease)->status, STORE_E_NO_LEASE);
        ck_assert_int_eq(lease_look(unknown_lease)->status, STORE_E_NO_LEASE);
}
END_TEST

/* Revoking takes the keys in one commit, and the lease with them. */
START_TEST(test_revoke) {
        int64_t lease = granted_lease(60), before;
        Recorder *recorder;

        (void)put_with_lease("a", "v", lease);
        before = put_with_lease("b", "v", lease);
        recorder = recorder_new(key(""), end_of(""), before + 1);

        ck_assert_int_eq(lease_revoke(lease)->status, 0);
        recorder_wait(recorder, 2);
        ck_assert_uint_eq(recorder->n_reports, 1);
        ck_assert_int_eq(recorder->events[1].mod_revision, before + 1);
        ck_assert_uint_eq(list("")->n_kvs, 0);
        ck_assert_int_eq(lease_revoke(lease)->status, STORE_E_NO_LEASE);
        ck_assert_int_eq(lease_keep_alive(lease)->status, STORE_E_NO_LEASE);
}
END_TEST

/* A transaction that names an unknown lease writes nothing at all. */
START_TEST(test_put_with_unknown_lease) {
        const StoreOp ops[] = {
                { .kind = STORE_OP_PUT, .key = key("a"), .value = store_bytes("v") },
                { .kind = STORE_OP_PUT,
                  .key = key("b"),
                  .value = store_bytes("v"),
                  .lease = unknown_lease },
        };
        int64_t before = current_revision();

        ck_assert_int_eq(txn(NULL, 0, ops, 2)->status, STORE_E_NO_LEASE);
        ck_assert_uint_eq(list("")->n_kvs, 0);
        ck_assert_int_eq(current_revision(), before);
}
END_TEST

/* When the comparison does not hold, the lease does not matter. */
START_TEST(test_lease_of_a_failed_compare) {
        const StoreCompare compare = { .key = key("a"),
                                       .target = STORE_COMPARE_MOD,
                                       .revision = 1 };
        const StoreOp op = { .kind = STORE_OP_PUT,
                             .key = key("a"),
                             .value = store_bytes("v"),
                             .lease = unknown_lease };
        Call *call = txn(&compare, 1, &op, 1);

        ck_assert_int_eq(call->status, 0);
        ck_assert(!call->reply.succeeded);
}
END_TEST

/* A key hangs on the lease of its last put only: on another one, or on none. */
START_TEST(test_lease_of_the_last_put) {
        int64_t old = granted_lease(60), other = granted_lease(60);

        (void)put_with_lease("moved", "v", old);
        (void)put_with_lease("freed", "v", old);
        (void)put_with_lease("again", "v", old);
        (void)put_with_lease("moved", "v", other);
        (void)put("freed", "v");
        (void)erase("again");
        (void)put("again", "v");

        ck_assert_int_eq(lease_revoke(old)->status, 0);
        ck_assert_uint_eq(list("")->n_kvs, 3);
        ck_assert_int_eq(lease_revoke(other)->status, 0);
        ck_assert_uint_eq(list("")->n_kvs, 2);
        ck_assert_uint_eq(list("moved")->n_kvs, 0);
}
END_TEST

TCase *lease_cases(void) {
        TCase *cases = tcase_create("lease");

        tcase_add_checked_fixture(cases, harness_set_up, harness_tear_down);
        tcase_add_test(cases, test_grant);
        tcase_add_test(cases, test_grant_as);
        tcase_add_test(cases, test_least_ttl);
        tcase_add_test(cases, test_lease_is_shown);
        tcase_add_test(cases, test_expiry);
        tcase_add_test(cases, test_keep_alive);
        tcase_add_test(cases, test_unknown_lease);
        tcase_add_test(cases, test_revoke);
        tcase_add_test(cases, test_look);
        tcase_add_test(cases, test_put_with_unknown_lease);
        tcase_add_test(cases, test_lease_of_a_failed_compare);
        tcase_add_test(cases, test_lease_of_the_last_put);
        return cases;
}
