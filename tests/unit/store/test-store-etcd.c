/* SPDX-License-Identifier: Apache-2.0 */

/* The etcd backend's calls, leases and connection. What a real etcd does is the contract suite's; this
 * is about what one cannot make a real etcd do on command.
 */

#include <errno.h>
#include <stdio.h>

#include "lib/store/store-etcd-private.h"
#include "tests/unit/fault.h"
#include "tests/unit/store/etcd-fixture.h"

/* A write whose connection is lost after it was sent is UNKNOWN and is not sent again; a read
 * is, once. */
START_TEST(test_connection_lost) {
        Fixture f;
        Request put, range;

        set_up(&f, NULL);
        start_put(&f, &put);
        start_range(&f, &range);
        (void)wait_seen(&f, 2);
        fake_server_drop(f.server);
        turn_until(f.loop, &put.has_ended);
        ck_assert_int_eq(put.status, STORE_E_UNKNOWN);
        ck_assert(!range.has_ended);

        pass_backoff(&f);
        ck_assert_str_eq(wait_seen(&f, 3)->method, "Range");
        fake_server_drop(f.server);
        turn_until(f.loop, &range.has_ended);
        ck_assert_int_eq(range.status, STORE_E_UNREACHABLE);
        ck_assert_uint_eq(f.n_seen, 3);
        tear_down(&f);
}
END_TEST

/* Nothing is sent to a member that does not prove itself: a write waits, and was certainly not
 * made. */
START_TEST(test_mute_member) {
        Fixture f;
        Request put;

        set_up(&f, NULL);
        f.is_mute = true;
        start_put(&f, &put);
        turn_until_idle(f.loop);
        ck_assert_uint_eq(f.n_proofs, 1);
        f.env.now_us += 1 * US_PER_S; /* the proof's deadline */
        pass_backoff(&f);
        turn_until_idle(f.loop);
        ck_assert_uint_eq(f.n_proofs, 2);
        f.env.now_us += 2 * US_PER_S;
        turn_until(f.loop, &put.has_ended);
        ck_assert_int_eq(put.status, STORE_E_UNREACHABLE);
        ck_assert_uint_eq(f.n_seen, 0);
        ck_assert(!store_is_connected(f.store));
        tear_down(&f);
}
END_TEST

/* A write that the member lets hang is UNKNOWN at its deadline, and the member is given up. */
START_TEST(test_hanging_write) {
        Fixture f;
        Request put;

        set_up(&f, NULL);
        start_put(&f, &put);
        (void)wait_seen(&f, 1);
        ck_assert(store_is_connected(f.store));
        f.env.now_us += STORE_CALL_TIMEOUT_US;
        turn_until(f.loop, &put.has_ended);
        ck_assert_int_eq(put.status, STORE_E_UNKNOWN);
        turn_until_idle(f.loop);
        ck_assert(!store_is_connected(f.store));
        pass_backoff(&f);
        turn_until_idle(f.loop);
        ck_assert(store_is_connected(f.store));
        ck_assert_uint_eq(fake_server_n_connections(f.server), 2);
        tear_down(&f);
}
END_TEST

/* "No leader" refuses a write for certain. */
START_TEST(test_no_leader) {
        Fixture f;
        Request put;

        set_up(&f, NULL);
        start_put(&f, &put);
        fake_server_end(f.server, wait_seen(&f, 1)->stream, "14", "etcdserver: no leader");
        turn_until(f.loop, &put.has_ended);
        ck_assert_int_eq(put.status, STORE_E_UNREACHABLE);
        tear_down(&f);
}
END_TEST

/* A token that is refused is replaced and the request sent again, once; a second refusal is the
 * answer. */
START_TEST(test_reauthentication) {
        Fixture f;
        Request put;

        set_up(&f, "user");
        start_put(&f, &put);
        ck_assert_str_eq(wait_seen(&f, 1)->method, "Txn");
        ck_assert_str_eq(fake_server_header(f.server, "token"), "token1");
        fake_server_end(f.server, f.seen[0].stream, "16", "etcdserver: invalid auth token");
        (void)wait_seen(&f, 2);
        ck_assert_str_eq(fake_server_header(f.server, "token"), "token2");
        ck_assert(!put.has_ended);
        fake_server_end(f.server, f.seen[1].stream, "16", "etcdserver: invalid auth token");
        turn_until(f.loop, &put.has_ended);
        ck_assert_int_eq(put.status, STORE_E_DENIED);
        ck_assert_uint_eq(f.n_authenticates, 2);
        ck_assert_uint_eq(fake_server_n_connections(f.server), 1);
        tear_down(&f);
}
END_TEST

/* Many requests that are refused for the same token fetch one new one. */
START_TEST(test_one_reauthentication_for_many) {
        Fixture f;
        Request puts[3];

        set_up(&f, "user");
        for (size_t i = 0; i < 3; i++)
                start_put(&f, &puts[i]);
        (void)wait_seen(&f, 3);
        for (size_t i = 0; i < 3; i++)
                fake_server_end(f.server, f.seen[i].stream, "16", "etcdserver: invalid auth token");
        (void)wait_seen(&f, 6);
        ck_assert_uint_eq(f.n_authenticates, 2);
        tear_down(&f);
}
END_TEST

/* Keep-alives are answered in order, and the answer to one that was given up is not taken for
 * the next. */
START_TEST(test_keep_alive_order) {
        Fixture f;
        Request first, second;

        set_up(&f, NULL);
        start_keep_alive(&f, &first, 7);
        (void)wait_seen(&f, 1);
        store_cancel(&first.request);
        start_keep_alive(&f, &second, 7);
        (void)wait_seen(&f, 2);
        ck_assert_int_eq(f.seen[0].stream, f.seen[1].stream);
        answer_keep_alive(&f, f.seen[0].stream, 7, 10);
        turn_until_idle(f.loop);
        ck_assert_int_eq(first.status, -ECANCELED);
        ck_assert(!second.has_ended);
        answer_keep_alive(&f, f.seen[0].stream, 7, 0);
        turn_until(f.loop, &second.has_ended);
        ck_assert_int_eq(second.status, STORE_E_NO_LEASE);
        tear_down(&f);
}
END_TEST

/* A keep-alive whose connection is lost is sent again on the next. */
START_TEST(test_keep_alive_resent) {
        Fixture f;
        Request keep;

        set_up(&f, NULL);
        start_keep_alive(&f, &keep, 7);
        (void)wait_seen(&f, 1);
        fake_server_drop(f.server);
        pass_backoff(&f);
        ck_assert_int_eq(wait_seen(&f, 2)->lease, 7);
        answer_keep_alive(&f, f.seen[1].stream, 7, 10);
        turn_until(f.loop, &keep.has_ended);
        ck_assert_int_eq(keep.status, 0);
        ck_assert_int_eq(keep.reply.lease_ttl_s, 10);
        tear_down(&f);
}
END_TEST

/* Asks for the lease again where it hears that it was refused, as long as it is told so. */
static void on_refused_again(StoreRequest *request, int status, const StoreReply *reply) {
        Request *r = container_of(request, Request, request);

        on_done(request, status, reply);
        if (status == STORE_E_DENIED && r->n_ends < 5)
                ck_assert_int_eq(store_lease_keep_alive(r->store, request, 7,
                                                        STORE_KEEP_ALIVE_TIMEOUT_US,
                                                        on_refused_again),
                                 0);
}

/* A stream that is refused ends what was sent on it, and not what its end brings about: that goes
 * with the next. */
START_TEST(test_keep_alive_from_a_refusal) {
        Fixture f;
        Request keep = { 0 };

        set_up(&f, NULL);
        keep.store = f.store;
        ck_assert_int_eq(store_lease_keep_alive(f.store, &keep.request, 7,
                                                STORE_KEEP_ALIVE_TIMEOUT_US, on_refused_again),
                         0);
        fake_server_end(f.server, wait_seen(&f, 1)->stream, "7", "etcdserver: permission denied");
        (void)wait_seen(&f, 2);
        ck_assert_uint_eq(keep.n_ends, 1);
        answer_keep_alive(&f, f.seen[1].stream, 7, 10);
        turn_until_idle(f.loop);
        ck_assert_uint_eq(keep.n_ends, 2);
        ck_assert_int_eq(keep.status, 0);
        tear_down(&f);
}
END_TEST

/* A keep-alive that is not answered in time makes the client leave the member. */
START_TEST(test_keep_alive_unanswered) {
        Fixture f;
        Request keep;

        set_up(&f, NULL);
        start_keep_alive(&f, &keep, 7);
        (void)wait_seen(&f, 1);
        f.env.now_us += STORE_KEEP_ALIVE_TIMEOUT_US;
        turn_until(f.loop, &keep.has_ended);
        ck_assert_int_eq(keep.status, STORE_E_UNREACHABLE);
        pass_backoff(&f);
        turn_until_idle(f.loop);
        ck_assert_uint_eq(fake_server_n_connections(f.server), 2);
        tear_down(&f);
}
END_TEST

/* The same of keep-alives, until their deadline. */
START_TEST(test_refused_keep_alive_has_aged_tokens_replaced) {
        Fixture f;
        Request keep;

        set_up(&f, "user");
        start_keep_alive(&f, &keep, 7);
        for (unsigned i = 0; i < 3; i++) {
                (void)wait_seen(&f, i + 1);
                ck_assert(!keep.has_ended);
                f.env.now_us += i < 2 ? 600 * US_PER_MS : 0;
                fake_server_end(f.server, f.seen[i].stream, "16", "etcdserver: invalid auth token");
        }
        turn_until(f.loop, &keep.has_ended);
        ck_assert_int_eq(keep.status, STORE_E_DENIED);
        ck_assert_uint_eq(f.n_authenticates, 3);
        tear_down(&f);
}
END_TEST

/* Messages that cannot be read make the client leave the member instead of stumbling on. */
START_TEST(test_nonsense) {
        Fixture f;
        Request range;
        Watch w;

        set_up(&f, NULL);
        start_watch(&f, &w, "k", 1);
        fake_server_send(f.server, wait_seen(&f, 1)->stream, "\x5a\x7f", 2);
        pass_backoff(&f);
        (void)wait_seen(&f, 2);
        start_range(&f, &range);
        (void)wait_seen(&f, 3);
        fake_server_send(f.server, f.seen[2].stream, "\x12\x7f", 2);
        fake_server_end(f.server, f.seen[2].stream, "0", NULL);
        turn_until(f.loop, &range.has_ended);
        ck_assert_int_eq(range.status, STORE_E_UNREACHABLE);
        ck_assert(!w.was_told);
        tear_down(&f);
}
END_TEST

/* Closing ends everything that is in flight or waits, once, with -ECANCELED. */
START_TEST(test_close) {
        Fixture f;
        Request put, range, keep;
        Watch w;

        set_up(&f, NULL);
        start_put(&f, &put);
        (void)wait_seen(&f, 1);
        start_keep_alive(&f, &keep, 7);
        start_watch(&f, &w, "k", 1);
        (void)wait_seen(&f, 3);
        fake_server_drop(f.server);
        turn_until(f.loop, &put.has_ended);
        start_range(&f, &range);
        tear_down(&f);
        ck_assert_int_eq(range.status, -ECANCELED);
        ck_assert_uint_eq(range.n_ends, 1);
        ck_assert_int_eq(keep.status, -ECANCELED);
        ck_assert_uint_eq(put.n_ends, 1);
        ck_assert_ptr_null(w.watch.store);
        ck_assert(!w.was_told);
}
END_TEST

/* Reach the member at one of these ports, 0 ends the list, as this user. */
static int configure(Fixture *f, const uint16_t *ports, const char *username, Diag *diag) {
        StrList endpoints = { 0 };
        int r;

        for (; *ports; ports++) {
                char url[64];

                (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", (unsigned)*ports);
                ck_assert_int_eq(strlist_add(&endpoints, url), 0);
        }
        r = store_etcd_configure(f->store,
                                 &(StoreEtcdOptions){ .endpoints = &endpoints,
                                                      .username = username,
                                                      .password = "secret" },
                                 diag);
        strlist_done(&endpoints);
        return r;
}

/* Other members besides the one in use: the connection stays, with all that is on it. */
START_TEST(test_configured_with_the_same_member) {
        Fixture f;
        Request put;
        Watch w;

        set_up(&f, NULL);
        start_watch(&f, &w, "k", 1);
        send_created(&f, wait_seen(&f, 1)->stream, 1);
        start_put(&f, &put);
        (void)wait_seen(&f, 2);
        ck_assert_int_eq(configure(&f, (uint16_t[]){ 1, f.port, 2, 0 }, NULL, NULL), 0);
        turn_until_idle(f.loop);
        ck_assert(store_is_connected(f.store));
        ck_assert(!put.has_ended);
        send_events(&f, f.seen[0].stream, 1, false, (int64_t[]){ 8, 0 }, 1);
        turn_until(f.loop, &w.was_told);
        ck_assert_uint_eq(f.n_seen, 2);
        ck_assert_uint_eq(f.n_proofs, 1);
        tear_down(&f);
}
END_TEST

/* Another member, or the same as another user: what is watched goes on there without gap, a write
 * that was sent is UNKNOWN. */
START_TEST(test_configured_with_another) {
        for (int is_user = 0; is_user < 2; is_user++) {
                FakeServer *first;
                uint16_t port;
                Request put;
                Fixture f;
                Watch w;

                set_up(&f, NULL);
                first = f.server;
                start_watch(&f, &w, "k", 1);
                send_created(&f, wait_seen(&f, 1)->stream, 1);
                send_events(&f, f.seen[0].stream, 1, false, (int64_t[]){ 8, 0 }, 1);
                turn_until(f.loop, &w.was_told);
                start_put(&f, &put);
                (void)wait_seen(&f, 2);

                port = f.port;
                if (!is_user)
                        f.server = fake_server_listen(f.loop, on_request, &f, &port);
                ck_assert_int_eq(configure(&f, (uint16_t[]){ port, 0 }, is_user ? "u" : NULL, NULL),
                                 0);
                ck_assert(!put.has_ended);
                ck_assert_int_eq(wait_seen(&f, 3)->watch->create->start_revision, 9);
                ck_assert(put.has_ended);
                ck_assert_int_eq(put.status, STORE_E_UNKNOWN);
                ck_assert_uint_eq(f.n_authenticates, is_user);
                if (!is_user)
                        (void)fake_server_free(first);
                tear_down(&f);
        }
}
END_TEST

/* What cannot be used changes nothing; where no member can be reached the new ones are tried at
 * once. */
START_TEST(test_configured_while_unreachable) {
        Diag diag = { 0 };
        uint16_t port;
        Request put;
        Fixture f;

        set_up(&f, NULL);
        port = f.port;
        ck_assert_int_eq(configure(&f, (uint16_t[]){ 1, 0 }, NULL, NULL), 0);
        start_put(&f, &put);
        for (int i = 0; i < 3; i++)
                pass_backoff(&f);
        ck_assert(!store_is_connected(f.store));
        ck_assert_int_eq(configure(&f, (uint16_t[]){ 0 }, NULL, &diag), -EINVAL);
        ck_assert_str_eq(diag.message, "no etcd endpoint is given");
        ck_assert_int_eq(configure(&f, (uint16_t[]){ port, 0 }, NULL, NULL), 0);
        ck_assert_str_eq(wait_seen(&f, 1)->method, "Txn");
        tear_down(&f);
}
END_TEST

static int reconfigure(void *context) {
        StrList endpoints = { .items = (char *[]){ (char *)"http://a:1", (char *)"http://b:2" },
                              .n_items = 2 };

        return store_etcd_configure(
                ((Fixture *)context)->store,
                &(StoreEtcdOptions){ .endpoints = &endpoints, .username = "u", .password = "p" },
                NULL);
}

/* Without memory it stays as it was. */
START_TEST(test_configured_out_of_memory) {
        Fixture f;

        set_up(&f, NULL);
        ck_assert_uint_gt(fault_sweep(reconfigure, &f), 5);
        tear_down(&f);
}
END_TEST

static int make_and_free(void *context) {
        StrList endpoints = { .items = (char *[]){ (char *)"http://a:1", (char *)"http://b:2" },
                              .n_items = 2 };
        Store *store = NULL;
        int r;

        r = store_etcd_new(
                &store, context,
                &(StoreEtcdOptions){ .endpoints = &endpoints, .username = "u", .password = "p" },
                NULL);
        fault_assert(!store == (r < 0));
        store_free(store);
        return r;
}

/* A store that cannot be made for want of memory is not half made. */
START_TEST(test_new_out_of_memory) {
        Fixture f;

        set_up(&f, NULL);
        ck_assert_uint_gt(fault_sweep(make_and_free, f.loop), 5);
        tear_down(&f);
}
END_TEST

/* Beyond what may wait for a connection a request ends at once; the others wait on. */
START_TEST(test_too_many_calls) {
        enum { N = ETCD_WAITING_MAX };
        Request *waiting = calloc(2 * N, sizeof(*waiting)), extra[2];
        Fixture f;

        set_up(&f, NULL);
        f.is_mute = true;
        for (size_t i = 0; i < N; i++) {
                start_range(&f, &waiting[i]);
                start_keep_alive(&f, &waiting[N + i], 1);
        }
        start_range(&f, &extra[0]);
        start_keep_alive(&f, &extra[1], 1);
        for (size_t i = 0; i < ELEMENTSOF(extra); i++) {
                turn_until(f.loop, &extra[i].has_ended);
                ck_assert_int_eq(extra[i].status, STORE_E_UNREACHABLE);
        }
        for (size_t i = 0; i < 2 * N; i++)
                ck_assert(!waiting[i].has_ended);
        tear_down(&f);
        for (size_t i = 0; i < 2 * N; i++)
                ck_assert_uint_eq(waiting[i].n_ends, 1);
        free(waiting);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_connection_lost,
                test_too_many_calls,
                test_mute_member,
                test_hanging_write,
                test_no_leader,
                test_reauthentication,
                test_one_reauthentication_for_many,
                test_keep_alive_order,
                test_keep_alive_resent,
                test_keep_alive_from_a_refusal,
                test_keep_alive_unanswered,
                test_refused_keep_alive_has_aged_tokens_replaced,
                test_nonsense,
                test_configured_with_the_same_member,
                test_configured_with_another,
                test_configured_while_unreachable,
                test_configured_out_of_memory,
                test_close,
                test_new_out_of_memory,
        };

        return tests_run("store-etcd", tests, ELEMENTSOF(tests));
}
