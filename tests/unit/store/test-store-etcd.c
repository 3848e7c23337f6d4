/* SPDX-License-Identifier: Apache-2.0 */

/* The etcd backend against a member that does what the test says, on a clock that the test moves.
 * What a real etcd does is the contract suite's; this is about what one cannot make a real etcd do
 * on command.
 */

#include "lib/store/store-etcd.h"
#include "lib/store/store-watch.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>

#include "lib/store/proto/etcd.pb-c.h"
#include "tests/unit/fault.h"
#include "tests/unit/store/fake-server.h"

enum { SEEN_MAX = 32 };

/* What the member got. */
typedef struct Seen {
        int32_t stream;
        char method[32];           /* the last part of the path */
        Etcd__WatchRequest *watch; /* owned; for "Watch" */
        int64_t lease;             /* for "LeaseKeepAlive" */
} Seen;

typedef struct Fixture {
        TestEnv env;
        Loop *loop;
        FakeServer *server;
        uint16_t port; /* of the server */
        Store *store;
        bool is_mute; /* the proof gets no answer */
        unsigned n_proofs;
        unsigned n_authenticates;
        Seen seen[SEEN_MAX];
        size_t n_seen;
        bool has_seen;
        bool is_closed;
} Fixture;

/* A request and what became of it. */
typedef struct Request {
        StoreRequest request;
        bool has_ended;
        unsigned n_ends;
        int status;
        StoreReply reply;
} Request;

/* A watch and what it was told. */
typedef struct Watch {
        StoreWatch watch;
        bool was_told;
        unsigned n_reports;
        StoreWatchReport last;
        size_t n_events; /* of all reports */
} Watch;

static void send_message(Fixture *f, int32_t stream, const ProtobufCMessage *message) {
        size_t n_bytes = protobuf_c_message_get_packed_size(message);
        uint8_t *bytes = malloc(n_bytes + 1);

        (void)protobuf_c_message_pack(message, bytes);
        fake_server_send(f->server, stream, bytes, n_bytes);
        free(bytes);
}

static void on_authenticate(Fixture *f, int32_t stream) {
        Etcd__AuthenticateResponse response = ETCD__AUTHENTICATE_RESPONSE__INIT;
        char token[16];

        f->n_authenticates++;
        (void)snprintf(token, sizeof token, "token%u", f->n_authenticates);
        response.token = token;
        send_message(f, stream, &response.base);
        fake_server_end(f->server, stream, "0", NULL);
}

static void on_request(FakeServer *server, int32_t stream, const char *path,
                       const GrpcMessage *message, void *userdata) {
        const char *method = strrchr(path, '/') + 1;
        Fixture *f = userdata;
        Seen *seen;

        if (streq(method, "Status") || streq(method, "Authenticate")) {
                f->n_proofs++;
                if (f->is_mute)
                        return;
                if (streq(method, "Authenticate")) {
                        on_authenticate(f, stream);
                        return;
                }
                fake_server_send(server, stream, "", 0);
                fake_server_end(server, stream, "0", NULL);
                return;
        }

        ck_assert_uint_lt(f->n_seen, SEEN_MAX);
        seen = &f->seen[f->n_seen++];
        seen->stream = stream;
        (void)snprintf(seen->method, sizeof seen->method, "%s", method);
        if (streq(method, "Watch"))
                seen->watch = etcd__watch_request__unpack(NULL, message->n_bytes, message->bytes);
        if (streq(method, "LeaseKeepAlive")) {
                Etcd__LeaseKeepAliveRequest *request = etcd__lease_keep_alive_request__unpack(
                        NULL, message->n_bytes, message->bytes);

                seen->lease = request->id;
                etcd__lease_keep_alive_request__free_unpacked(request, NULL);
        }
        f->has_seen = true;
}

static void set_up(Fixture *f, const char *username) {
        StrList endpoints = { 0 };
        char url[64];
        uint16_t port;

        *f = (Fixture){ 0 };
        test_env_init(&f->env);
        ck_assert_int_eq(loop_new(&f->loop, &f->env.env), 0);
        f->server = fake_server_listen(f->loop, on_request, f, &port);
        f->port = port;
        (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", (unsigned)port);
        ck_assert_int_eq(strlist_add(&endpoints, url), 0);
        ck_assert_int_eq(store_etcd_new(&f->store, f->loop,
                                        &(StoreEtcdOptions){ .endpoints = &endpoints,
                                                             .username = username,
                                                             .password = "secret" },
                                        NULL),
                         0);
        strlist_done(&endpoints);
}

static void on_closed(Store *store, void *userdata) {
        (void)store;
        ((Fixture *)userdata)->is_closed = true;
}

static void tear_down(Fixture *f) {
        store_close(f->store, on_closed, f);
        turn_until(f->loop, &f->is_closed);
        f->store = store_free(f->store);
        f->server = fake_server_free(f->server);
        f->loop = loop_free(f->loop);
        for (size_t i = 0; i < f->n_seen; i++)
                if (f->seen[i].watch)
                        etcd__watch_request__free_unpacked(f->seen[i].watch, NULL);
}

/* Wait until the member has got `n` requests in all; returns the last. */
static const Seen *wait_seen(Fixture *f, size_t n) {
        while (f->n_seen < n) {
                f->has_seen = false;
                turn_until(f->loop, &f->has_seen);
        }
        return &f->seen[n - 1];
}

static void on_done(StoreRequest *request, int status, const StoreReply *reply) {
        Request *r = container_of(request, Request, request);

        r->has_ended = true;
        r->n_ends++;
        r->status = status;
        if (reply)
                r->reply = *reply;
}

static void start_put(Fixture *f, Request *r) {
        StoreOp op = { .kind = STORE_OP_PUT, .key = store_bytes("k"), .value = store_bytes("v") };

        *r = (Request){ 0 };
        ck_assert_int_eq(store_txn(f->store, &r->request, &(StoreTxn){ .ops = &op, .n_ops = 1 },
                                   STORE_CALL_TIMEOUT_US, on_done),
                         0);
}

static void start_range(Fixture *f, Request *r) {
        *r = (Request){ 0 };
        ck_assert_int_eq(store_range(f->store, &r->request,
                                     &(StoreRange){ .key = store_bytes("k") },
                                     STORE_CALL_TIMEOUT_US, on_done),
                         0);
}

static void start_keep_alive(Fixture *f, Request *r, int64_t lease) {
        *r = (Request){ 0 };
        ck_assert_int_eq(store_lease_keep_alive(f->store, &r->request, lease,
                                                STORE_KEEP_ALIVE_TIMEOUT_US, on_done),
                         0);
}

static void answer_keep_alive(Fixture *f, int32_t stream, int64_t lease, int64_t ttl_s) {
        Etcd__LeaseKeepAliveResponse response = ETCD__LEASE_KEEP_ALIVE_RESPONSE__INIT;

        response.id = lease;
        response.ttl = ttl_s;
        send_message(f, stream, &response.base);
}

/* The pause after a member was given up passes. */
static void pass_backoff(Fixture *f) {
        turn_until_idle(f->loop);
        f->env.now_us += 400 * US_PER_MS;
}

static void on_report(StoreWatch *watch, const StoreWatchReport *report) {
        Watch *w = container_of(watch, Watch, watch);

        w->was_told = true;
        w->n_reports++;
        w->last = *report;
        w->n_events += report->n_events;
}

static void start_watch(Fixture *f, Watch *w, const char *key, int64_t revision) {
        *w = (Watch){ 0 };
        ck_assert_int_eq(store_watch_start(f->store, &w->watch, store_bytes(key), store_bytes(""),
                                           revision, on_report),
                         0);
}

static void send_created(Fixture *f, int32_t stream, int64_t id) {
        Etcd__WatchResponse response = ETCD__WATCH_RESPONSE__INIT;

        response.watch_id = id;
        response.created = true;
        send_message(f, stream, &response.base);
}

/* Send events: one for each revision given; 0 ends the list. */
static void send_events(Fixture *f, int32_t stream, int64_t id, bool is_fragment,
                        const int64_t *revisions, size_t n_value_bytes) {
        Etcd__WatchResponse response = ETCD__WATCH_RESPONSE__INIT;
        Etcd__Event events[8], *list[8];
        Etcd__KeyValue kvs[8];
        uint8_t *value = calloc(1, n_value_bytes + 1);

        for (size_t i = 0; revisions[i] != 0; i++) {
                etcd__key_value__init(&kvs[i]);
                kvs[i].key = (ProtobufCBinaryData){ .len = 1, .data = (uint8_t *)"k" };
                kvs[i].value = (ProtobufCBinaryData){ .len = n_value_bytes, .data = value };
                kvs[i].mod_revision = revisions[i];
                etcd__event__init(&events[i]);
                events[i].kv = &kvs[i];
                list[i] = &events[i];
                response.n_events++;
        }
        response.watch_id = id;
        response.fragment = is_fragment;
        response.events = list;
        send_message(f, stream, &response.base);
        free(value);
}

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

/* The fragments of a revision are told in one report, each event once. */
START_TEST(test_fragments) {
        Fixture f;
        Watch w;
        const Seen *seen;

        set_up(&f, NULL);
        start_watch(&f, &w, "k", 5);
        seen = wait_seen(&f, 1);
        ck_assert_int_eq(seen->watch->create->start_revision, 5);
        ck_assert(seen->watch->create->fragment);
        send_created(&f, seen->stream, 1);
        send_events(&f, seen->stream, 1, true, (int64_t[]){ 5, 6, 0 }, 10);
        send_events(&f, seen->stream, 1, true, (int64_t[]){ 6, 0 }, 10);
        turn_until_idle(f.loop);
        ck_assert(!w.was_told);
        send_events(&f, seen->stream, 1, false, (int64_t[]){ 6, 0 }, 10);
        turn_until(f.loop, &w.was_told);
        ck_assert_uint_eq(w.n_reports, 1);
        ck_assert_uint_eq(w.n_events, 4);
        ck_assert_int_eq(w.watch.next_revision, 7);
        tear_down(&f);
}
END_TEST

/* A long reassembly is told up to its last whole revision; nothing is told twice or lost, and a
 * revision stays in one report. */
START_TEST(test_long_reassembly) {
        Fixture f;
        Watch w;
        int32_t stream;

        set_up(&f, NULL);
        start_watch(&f, &w, "k", 1);
        stream = wait_seen(&f, 1)->stream;
        send_created(&f, stream, 1);
        for (int64_t i = 1; i <= 9; i++) /* above 8 MB */
                send_events(&f, stream, 1, true, (int64_t[]){ i, i + 1, 0 }, 500000);
        turn_until(f.loop, &w.was_told);
        turn_until_idle(f.loop);
        ck_assert_uint_eq(w.n_reports, 1);
        ck_assert_int_eq(w.last.revision, w.watch.next_revision - 1);
        ck_assert_int_lt(w.last.revision, 10);
        send_events(&f, stream, 1, false, (int64_t[]){ 10, 0 }, 10);
        w.was_told = false;
        turn_until(f.loop, &w.was_told);
        ck_assert_uint_eq(w.n_events, 19);
        ck_assert_int_eq(w.last.revision, 10);
        tear_down(&f);
}
END_TEST

/* A refusal under the identifier -1 is the oldest unconfirmed watch's; the others go on. */
START_TEST(test_refused_watch) {
        Fixture f;
        Watch first, second;
        Etcd__WatchResponse refusal = ETCD__WATCH_RESPONSE__INIT;
        int32_t stream;

        set_up(&f, NULL);
        start_watch(&f, &first, "forbidden", 1);
        start_watch(&f, &second, "k", 1);
        stream = wait_seen(&f, 2)->stream;
        refusal.watch_id = -1;
        refusal.created = refusal.canceled = true;
        send_message(&f, stream, &refusal.base);
        send_created(&f, stream, 2);
        send_events(&f, stream, 2, false, (int64_t[]){ 4, 0 }, 1);
        turn_until(f.loop, &second.was_told);
        ck_assert_int_eq(first.last.kind, STORE_WATCH_DENIED);
        ck_assert_ptr_null(first.watch.store);
        ck_assert_int_eq(second.last.kind, STORE_WATCH_EVENTS);
        tear_down(&f);
}
END_TEST

/* With a username, a refused watch gets a fresh token once. */
START_TEST(test_refused_watch_reauthenticates) {
        Fixture f;
        Watch w;
        Etcd__WatchResponse refusal = ETCD__WATCH_RESPONSE__INIT;

        set_up(&f, "user");
        start_watch(&f, &w, "k", 1);
        refusal.watch_id = -1;
        refusal.created = refusal.canceled = true;
        send_message(&f, wait_seen(&f, 1)->stream, &refusal.base);
        (void)wait_seen(&f, 2);
        ck_assert_str_eq(fake_server_header(f.server, "token"), "token2");
        ck_assert_int_ne(f.seen[0].stream, f.seen[1].stream);
        ck_assert(!w.was_told);
        send_message(&f, f.seen[1].stream, &refusal.base);
        turn_until(f.loop, &w.was_told);
        ck_assert_int_eq(w.last.kind, STORE_WATCH_DENIED);
        tear_down(&f);
}
END_TEST

/* A token that has aged when it is refused has expired, too, and is replaced again; but not for
 * longer than a watch has to be confirmed, for etcd 3.4 says the same of a forbidden key. */
START_TEST(test_refused_watch_has_aged_tokens_replaced) {
        Fixture f;
        Watch w;
        Etcd__WatchResponse refusal = ETCD__WATCH_RESPONSE__INIT;

        set_up(&f, "user");
        start_watch(&f, &w, "k", 1);
        refusal.watch_id = -1;
        refusal.created = refusal.canceled = true;
        for (unsigned i = 0; i < 4; i++) {
                (void)wait_seen(&f, i + 1);
                ck_assert(!w.was_told);
                f.env.now_us += 1 * US_PER_S;
                send_message(&f, f.seen[i].stream, &refusal.base);
        }
        turn_until(f.loop, &w.was_told);
        ck_assert_int_eq(w.last.kind, STORE_WATCH_DENIED);
        ck_assert_uint_eq(f.n_authenticates, 4);
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

/* A compaction ends the watch and says up to where. */
START_TEST(test_compacted) {
        Fixture f;
        Watch w;
        Etcd__WatchResponse response = ETCD__WATCH_RESPONSE__INIT;
        int32_t stream;

        set_up(&f, NULL);
        start_watch(&f, &w, "k", 1);
        stream = wait_seen(&f, 1)->stream;
        send_created(&f, stream, 1);
        response.watch_id = 1;
        response.canceled = true;
        response.compact_revision = 41;
        send_message(&f, stream, &response.base);
        turn_until(f.loop, &w.was_told);
        ck_assert_int_eq(w.last.kind, STORE_WATCH_COMPACTED);
        ck_assert_int_eq(w.last.revision, 41);
        ck_assert_ptr_null(w.watch.store);
        tear_down(&f);
}
END_TEST

/* A lost connection resumes after the last event; what came in fragments before is forgotten,
 * and a progress notification changes nothing. */
START_TEST(test_resume) {
        Fixture f;
        Watch w;
        Etcd__WatchResponse progress = ETCD__WATCH_RESPONSE__INIT;
        Etcd__Header header = ETCD__HEADER__INIT;
        int32_t stream;

        set_up(&f, NULL);
        start_watch(&f, &w, "k", 1);
        stream = wait_seen(&f, 1)->stream;
        send_created(&f, stream, 1);
        send_events(&f, stream, 1, false, (int64_t[]){ 8, 0 }, 1);
        header.revision = 100;
        progress.header = &header;
        progress.watch_id = 1;
        send_message(&f, stream, &progress.base);
        send_events(&f, stream, 1, true, (int64_t[]){ 9, 0 }, 1);
        turn_until(f.loop, &w.was_told);
        turn_until_idle(f.loop);
        fake_server_drop(f.server);
        pass_backoff(&f);
        ck_assert_int_eq(wait_seen(&f, 2)->watch->create->start_revision, 9);
        send_created(&f, f.seen[1].stream, 1);
        w.was_told = false;
        send_events(&f, f.seen[1].stream, 1, false, (int64_t[]){ 8, 9, 0 }, 1);
        turn_until(f.loop, &w.was_told);
        ck_assert_uint_eq(w.n_events, 2); /* 8 was not told again */
        tear_down(&f);
}
END_TEST

/* A watch that is not confirmed within 3 s makes the client leave the member. */
START_TEST(test_unconfirmed_watch) {
        Fixture f;
        Watch w;

        set_up(&f, NULL);
        start_watch(&f, &w, "k", 3);
        (void)wait_seen(&f, 1);
        f.env.now_us += 3 * US_PER_S;
        pass_backoff(&f);
        ck_assert_int_eq(wait_seen(&f, 2)->watch->create->start_revision, 3);
        ck_assert_uint_eq(fake_server_n_connections(f.server), 2);
        tear_down(&f);
}
END_TEST

/* A stopped watch is cancelled at the member and told nothing, before as after its confirmation;
 * its identifier is not used again. */
START_TEST(test_stopped_watch) {
        Fixture f;
        Watch early, late, next;
        int32_t stream;

        set_up(&f, NULL);
        start_watch(&f, &early, "k", 1);
        start_watch(&f, &late, "k", 1);
        stream = wait_seen(&f, 2)->stream;
        store_watch_stop(&early.watch);
        ck_assert_int_eq(wait_seen(&f, 3)->watch->cancel->watch_id, 1);
        send_created(&f, stream, 1);
        send_created(&f, stream, 2);
        send_events(&f, stream, 1, false, (int64_t[]){ 4, 0 }, 1);
        turn_until_idle(f.loop);
        store_watch_stop(&late.watch);
        ck_assert_int_eq(wait_seen(&f, 4)->watch->cancel->watch_id, 2);
        start_watch(&f, &next, "k", 1);
        ck_assert_int_eq(wait_seen(&f, 5)->watch->create->watch_id, 3);
        send_events(&f, stream, 2, false, (int64_t[]){ 4, 0 }, 1);
        send_created(&f, stream, 3);
        send_events(&f, stream, 3, false, (int64_t[]){ 5, 0 }, 1);
        turn_until(f.loop, &next.was_told);
        ck_assert(!early.was_told);
        ck_assert(!late.was_told);
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

int main(void) {
        const TTest *const tests[] = {
                test_connection_lost,
                test_mute_member,
                test_hanging_write,
                test_no_leader,
                test_reauthentication,
                test_one_reauthentication_for_many,
                test_keep_alive_order,
                test_keep_alive_resent,
                test_keep_alive_unanswered,
                test_fragments,
                test_long_reassembly,
                test_refused_watch,
                test_refused_watch_reauthenticates,
                test_refused_watch_has_aged_tokens_replaced,
                test_refused_keep_alive_has_aged_tokens_replaced,
                test_compacted,
                test_resume,
                test_unconfirmed_watch,
                test_stopped_watch,
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
