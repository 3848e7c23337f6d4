/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/unit/store/etcd-fixture.h"

#include <check.h>
#include <stdio.h>

void send_message(Fixture *f, int32_t stream, const ProtobufCMessage *message) {
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

void on_request(FakeServer *server, int32_t stream, const char *path, const GrpcMessage *message,
                void *userdata) {
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

void set_up(Fixture *f, const char *username) {
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

void tear_down(Fixture *f) {
        store_close(f->store, on_closed, f);
        turn_until(f->loop, &f->is_closed);
        f->store = store_free(f->store);
        f->server = fake_server_free(f->server);
        f->loop = loop_free(f->loop);
        for (size_t i = 0; i < f->n_seen; i++)
                if (f->seen[i].watch)
                        etcd__watch_request__free_unpacked(f->seen[i].watch, NULL);
}

const Seen *wait_seen(Fixture *f, size_t n) {
        while (f->n_seen < n) {
                f->has_seen = false;
                turn_until(f->loop, &f->has_seen);
        }
        return &f->seen[n - 1];
}

void on_done(StoreRequest *request, int status, const StoreReply *reply) {
        Request *r = container_of(request, Request, request);

        r->has_ended = true;
        r->n_ends++;
        r->status = status;
        if (reply)
                r->reply = *reply;
}

void start_put(Fixture *f, Request *r) {
        StoreOp op = { .kind = STORE_OP_PUT, .key = store_bytes("k"), .value = store_bytes("v") };

        *r = (Request){ 0 };
        ck_assert_int_eq(store_txn(f->store, &r->request, &(StoreTxn){ .ops = &op, .n_ops = 1 },
                                   STORE_CALL_TIMEOUT_US, on_done),
                         0);
}

void start_range(Fixture *f, Request *r) {
        *r = (Request){ 0 };
        ck_assert_int_eq(store_range(f->store, &r->request,
                                     &(StoreRange){ .key = store_bytes("k") },
                                     STORE_CALL_TIMEOUT_US, on_done),
                         0);
}

void start_keep_alive(Fixture *f, Request *r, int64_t lease) {
        *r = (Request){ 0 };
        ck_assert_int_eq(store_lease_keep_alive(f->store, &r->request, lease,
                                                STORE_KEEP_ALIVE_TIMEOUT_US, on_done),
                         0);
}

void answer_keep_alive(Fixture *f, int32_t stream, int64_t lease, int64_t ttl_s) {
        Etcd__LeaseKeepAliveResponse response = ETCD__LEASE_KEEP_ALIVE_RESPONSE__INIT;

        response.id = lease;
        response.ttl = ttl_s;
        send_message(f, stream, &response.base);
}

void pass_backoff(Fixture *f) {
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

void start_watch(Fixture *f, Watch *w, const char *key, int64_t revision) {
        *w = (Watch){ 0 };
        ck_assert_int_eq(store_watch_start(f->store, &w->watch, store_bytes(key), store_bytes(""),
                                           revision, on_report),
                         0);
}

void send_created(Fixture *f, int32_t stream, int64_t id) {
        Etcd__WatchResponse response = ETCD__WATCH_RESPONSE__INIT;

        response.watch_id = id;
        response.created = true;
        send_message(f, stream, &response.base);
}

void send_events(Fixture *f, int32_t stream, int64_t id, bool is_fragment, const int64_t *revisions,
                 size_t n_value_bytes) {
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
