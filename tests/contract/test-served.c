/* SPDX-License-Identifier: Apache-2.0 */

/* The served store, asked for what the store's client never asks: its limits, clients that are slower
 * than their watches, and a file that cannot be used. The server and its client are two loops of this
 * process, on a virtual clock; whoever is to be slow is not turned.
 */

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "lib/serve/serve-codec.h"
#include "lib/serve/serve.h"
#include "lib/store/grpc-channel.h"
#include "lib/store/store-watch.h"
#include "tests/contract/sqlite-file.h"
#include "tests/sim/virtual-env.h"
#include "tests/unit/fault.h"

enum {
        TURNS_MAX = 200000, /* how long anything may take */
        CALLS_MAX = 64,
};

/* A call of the client's, with what it brought. */
typedef struct Client {
        GrpcCall call;
        List messages; /* GrpcMessage.node: not taken yet */
        size_t n_messages;
        bool has_ended;
        GrpcCode code;
        char words[GRPC_STATUS_MESSAGE_MAX + 1];
} Client;

static struct {
        VirtualEnv env;
        SqliteTestFile file;
        Loop *server, *client;
        SqliteStore *sqlite;
        Store *own; /* a client in the server's process */
        Serve *serve;
        GrpcChannel *channel;
        Client calls[CALLS_MAX];
        size_t n_calls;
        EtcdArena arena; /* what was decoded */
        bool may_lose;   /* the connection */
        bool is_lost;
} f;

/* ---- turning */

static void turn(void) {
        ck_assert_int_eq(loop_turn(f.server, 0), 0);
        ck_assert_int_eq(loop_turn(f.client, 0), 0);
}

static void turn_until(bool (*is_done)(void *userdata), void *userdata) {
        for (size_t i = 0; !is_done(userdata); i++) {
                ck_assert_msg(i < TURNS_MAX, "what is waited for does not happen");
                turn();
        }
}

static void turn_some(Loop *loop, size_t n) {
        while (n-- > 0)
                ck_assert_int_eq(loop_turn(loop, 0), 0);
}

/* Lets time pass for both sides. */
static void pass_s(unsigned n) {
        while (n-- > 0) {
                virtual_env_run_until(&f.env, f.server, f.env.now_us + US_PER_S);
                for (size_t i = 0; i < 10; i++)
                        turn();
        }
}

static bool is_connected(void *userdata) {
        return store_is_connected(userdata);
}

static bool is_disconnected(void *userdata) {
        return !store_is_connected(userdata);
}

static bool is_true(void *userdata) {
        return *(bool *)userdata;
}

/* ---- calls */

static void on_message(GrpcCall *call, GrpcMessage *message) {
        Client *client = container_of(call, Client, call);

        list_append(&client->messages, &message->node);
        client->n_messages++;
}

static void on_ended(GrpcCall *call, const GrpcStatus *status) {
        Client *client = container_of(call, Client, call);

        client->has_ended = true;
        client->code = status->code;
        (void)snprintf(client->words, sizeof(client->words), "%s", status->message);
}

static void add(Client *client, const ProtobufCMessage *message) {
        uint8_t *bytes;

        ck_assert_int_eq(grpc_call_add_message(&client->call,
                                               protobuf_c_message_get_packed_size(message), &bytes),
                         0);
        (void)protobuf_c_message_pack(message, bytes);
}

static Client *start(const char *path, bool is_unary, const ProtobufCMessage *message) {
        static const GrpcCallVtable vtable = { .message = on_message, .ended = on_ended };
        Client *client = &f.calls[f.n_calls++];

        ck_assert_uint_le(f.n_calls, CALLS_MAX);
        grpc_call_init(&client->call, &vtable, path, is_unary);
        add(client, message);
        ck_assert_int_eq(grpc_call_start(f.channel, &client->call, 0), 0);
        return client;
}

static void send_more(Client *client, const ProtobufCMessage *message) {
        add(client, message);
        grpc_call_send(&client->call);
}

static bool has_ended(void *userdata) {
        const Client *client = userdata;

        return client->has_ended;
}

/* Waits for the end of a call and checks it. */
static void expect_end(Client *client, GrpcCode code, const char *words) {
        turn_until(has_ended, client);
        ck_assert_int_eq(client->code, code);
        ck_assert_str_eq(client->words, words);
}

static bool has_message(void *userdata) {
        const Client *client = userdata;

        return !list_is_empty(&client->messages);
}

/* The next message; valid until the end of the case. */
static void *next_message(Client *client, const ProtobufCMessageDescriptor *type) {
        ProtobufCMessage *decoded;
        GrpcMessage *message;

        turn_until(has_message, client);
        message = container_of(list_pop(&client->messages), GrpcMessage, node);
        ck_assert_int_eq(serve_decode(type, message, &f.arena, &decoded), 0);
        free(message);
        return decoded;
}

static Served__WatchResponse *next_event(Client *client) {
        return next_message(client, &served__watch_response__descriptor);
}

/* ---- requests */

static ProtobufCBinaryData text(const char *string) {
        return (ProtobufCBinaryData){ .len = strlen(string), .data = (uint8_t *)string };
}

static Served__WatchCreateRequest watch_of(const char *key) {
        Served__WatchCreateRequest create = SERVED__WATCH_CREATE_REQUEST__INIT;

        create.key = text(key);
        return create;
}

static void ask_watch(Client **client, Served__WatchCreateRequest *create) {
        Served__WatchRequest request = SERVED__WATCH_REQUEST__INIT;

        request.request_case = SERVED__WATCH_REQUEST__REQUEST_CREATE;
        request.create = create;
        if (*client)
                send_more(*client, &request.base);
        else
                *client = start("/etcdserverpb.Watch/Watch", false, &request.base);
}

static Client *ask_put(const char *key, size_t n_bytes) {
        _cleanup_(freep) char *value = malloc(n_bytes + 1);
        Served__PutRequest put = SERVED__PUT_REQUEST__INIT;

        memset(value, 'x', n_bytes);
        put.key = text(key);
        put.value = (ProtobufCBinaryData){ .len = n_bytes, .data = (uint8_t *)value };
        return start("/etcdserverpb.KV/Put", true, &put.base);
}

/* A write by the process that serves. */
typedef struct Own {
        StoreRequest request;
        bool is_done;
        int status;
} Own;

static void own_done(StoreRequest *request, int status, const StoreReply *reply) {
        Own *own = container_of(request, Own, request);

        (void)reply;
        own->is_done = true;
        own->status = status;
}

/* Writes `n_keys` keys of so many bytes in one revision; the client is not turned. */
static void own_put(size_t n_keys, size_t n_bytes) {
        _cleanup_(freep) char *value = malloc(n_bytes + 1);
        StoreOp ops[STORE_TXN_OPS_MAX];
        char keys[STORE_TXN_OPS_MAX][16];
        const StoreTxn txn = { .ops = ops, .n_ops = n_keys };
        Own own = { 0 };

        memset(value, 'v', n_bytes);
        for (size_t i = 0; i < n_keys; i++) {
                (void)snprintf(keys[i], sizeof(keys[i]), "k%03zu", i);
                ops[i] = (StoreOp){ .kind = STORE_OP_PUT,
                                    .key = store_bytes(keys[i]),
                                    .value = { .data = value, .n_bytes = n_bytes } };
        }
        ck_assert_int_eq(store_txn(f.own, &own.request, &txn, US_PER_S, own_done), 0);
        while (!own.is_done)
                turn_some(f.server, 1);
        ck_assert_int_eq(own.status, 0);
}

/* ---- the case */

static void on_lost(GrpcChannel *channel, const char *reason, void *userdata) {
        (void)channel;
        (void)userdata;
        if (!f.may_lose) {
                (void)fprintf(stderr, "the connection was lost: %s\n", reason);
                abort();
        }
        f.is_lost = true;
}

static void connect_client(void) {
        int fds[2];

        f.is_lost = false;
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
                         0);
        ck_assert_int_eq(serve_add_fd(f.serve, fds[0]), 0);
        ck_assert_int_eq(grpc_channel_from_fd(&f.channel, f.client, fds[1], "test", on_lost, NULL),
                         0);
}

static void set_up(void) {
        const StrList nowhere = { 0 };
        const ServeOptions options = { .addresses = &nowhere };
        Diag diag = { 0 };

        memset(&f, 0, sizeof(f));
        virtual_env_init(&f.env, 7);
        ck_assert_int_eq(sqlite_test_file_make(&f.file), 0);
        ck_assert_int_eq(loop_new(&f.server, &f.env.env), 0);
        ck_assert_int_eq(loop_new(&f.client, &f.env.env), 0);
        ck_assert_int_eq(sqlite_test_file_open(&f.file, &f.sqlite, f.server), 0);
        ck_assert_int_eq(store_sqlite_new(&f.own, f.sqlite), 0);
        ck_assert_int_eq(serve_new(&f.serve, f.server, f.sqlite, &options, &diag), 0);
        connect_client();
        turn_until(is_connected, f.own);
}

static void on_store_closed(Store *store, void *userdata) {
        (void)store;
        *(bool *)userdata = true;
}

static void on_serve_closed(Serve *serve, void *userdata) {
        (void)serve;
        *(bool *)userdata = true;
}

static void drop_calls(void) {
        for (size_t i = 0; i < f.n_calls; i++) {
                grpc_call_done(&f.calls[i].call);
                while (!list_is_empty(&f.calls[i].messages))
                        free(container_of(list_pop(&f.calls[i].messages), GrpcMessage, node));
        }
        memset(f.calls, 0, f.n_calls * sizeof(*f.calls));
        f.n_calls = 0;
}

static void tear_down(void) {
        bool is_serve_closed = false, is_store_closed = false;

        sqlite_test_file_set_fault((SqliteFault){ 0 });
        drop_calls();
        f.channel = grpc_channel_free(f.channel);
        serve_close(f.serve, on_serve_closed, &is_serve_closed);
        turn_until(is_true, &is_serve_closed);
        f.serve = serve_free(f.serve);
        store_close(f.own, on_store_closed, &is_store_closed);
        turn_until(is_true, &is_store_closed);
        f.own = store_free(f.own);
        f.sqlite = sqlite_store_free(f.sqlite);
        f.server = loop_free(f.server);
        f.client = loop_free(f.client);
        etcd_arena_done(&f.arena);
        sqlite_test_file_done(&f.file);
}

/* ---- limits */

START_TEST(test_watches_of_a_stream) {
        Served__WatchCreateRequest create = watch_of("w");
        const Served__WatchResponse *response;
        Client *stream = NULL;

        for (int64_t i = 0; i <= SERVE_STREAM_WATCHES_MAX; i++) {
                ask_watch(&stream, &create);
                response = next_event(stream);
                ck_assert(response->created);
                ck_assert_int_eq(response->canceled, i == SERVE_STREAM_WATCHES_MAX);
                ck_assert_int_eq(response->watch_id, i == SERVE_STREAM_WATCHES_MAX ? -1 : i);
        }
        ck_assert_str_eq(response->cancel_reason, "the stream has too many watches");
        ck_assert_uint_eq(serve_stats(f.serve).n_watches, SERVE_STREAM_WATCHES_MAX);
}
END_TEST

static bool has_all_created(void *userdata) {
        const Client *client = userdata;

        return client->n_messages == SERVE_STREAM_WATCHES_MAX;
}

START_TEST(test_watches_of_all) {
        Served__WatchCreateRequest create = watch_of("w");
        const Served__WatchResponse *response;
        Client *stream = NULL;

        for (size_t i = 0; i < SERVE_WATCHES_MAX / SERVE_STREAM_WATCHES_MAX; i++) {
                stream = NULL;
                for (size_t k = 0; k < SERVE_STREAM_WATCHES_MAX; k++)
                        ask_watch(&stream, &create);
                turn_until(has_all_created, stream);
        }
        ck_assert_uint_eq(serve_stats(f.serve).n_watches, SERVE_WATCHES_MAX);
        stream = NULL;
        ask_watch(&stream, &create);
        response = next_event(stream);
        ck_assert(response->canceled);
        ck_assert_str_eq(response->cancel_reason, "there are too many watches");
}
END_TEST

/* What a client asks for beyond the limit waits, and nothing is lost. */
START_TEST(test_renewals_of_a_stream) {
        enum { N = 3 * SERVE_STREAM_RENEWALS_MAX };
        Served__LeaseRequest request = SERVED__LEASE_REQUEST__INIT;
        Client *stream;

        request.id = 1;
        stream = start("/etcdserverpb.Lease/LeaseKeepAlive", false, &request.base);
        for (request.id = 2; request.id <= N; request.id++)
                send_more(stream, &request.base);
        for (int64_t id = 1; id <= N; id++) {
                const Served__LeaseKeepAliveResponse *response = next_message(
                        stream, &served__lease_keep_alive_response__descriptor);

                ck_assert_int_eq(response->id, id);
                ck_assert_int_eq(response->ttl, 0);
        }
}
END_TEST

START_TEST(test_size_of_a_request) {
        expect_end(ask_put("k", SERVE_REQUEST_MAX_BYTES - 100), GRPC_OK, "");
        expect_end(ask_put("k", SERVE_REQUEST_MAX_BYTES + 1), GRPC_INVALID_ARGUMENT,
                   "etcdserver: request is too large");
}
END_TEST

/* Nor may its fields be so many that it takes many times its size in memory. */
START_TEST(test_memory_of_a_request) {
        enum { N_BYTES = 2000000 };
        static const GrpcCallVtable vtable = { .message = on_message, .ended = on_ended };
        Client *client = &f.calls[f.n_calls++];
        uint8_t *bytes;

        grpc_call_init(&client->call, &vtable, "/etcdserverpb.KV/Range", true);
        ck_assert_int_eq(grpc_call_add_message(&client->call, N_BYTES, &bytes), 0);
        for (size_t i = 0; i < N_BYTES; i += 2)
                memcpy(bytes + i, "\x78\x01", 2); /* field 15, which is nobody's */
        ck_assert_int_eq(grpc_call_start(f.channel, &client->call, 0), 0);
        expect_end(client, GRPC_INVALID_ARGUMENT, "etcdserver: request is too large");
        expect_end(ask_put("k", 10), GRPC_OK, "");
}
END_TEST

/* While another process holds the file, requests wait; not in any number. */
START_TEST(test_size_of_all_requests) {
        enum { EACH = 1500000, N = SERVE_REQUESTS_MAX_BYTES / EACH + 1 };
        Client *waiting[N];

        sqlite_test_file_set_fault((SqliteFault){ .begin = -EAGAIN });
        for (size_t i = 0; i < N; i++) {
                waiting[i] = ask_put("k", EACH);
                if (i == N - 1)
                        break;
                for (size_t k = 0; k < 2000; k++)
                        turn();
                ck_assert(!waiting[i]->has_ended);
        }
        expect_end(waiting[N - 1], GRPC_RESOURCE_EXHAUSTED, "etcdserver: too many requests");

        sqlite_test_file_set_fault((SqliteFault){ 0 });
        pass_s(1);
        for (size_t i = 0; i < N - 1; i++)
                expect_end(waiting[i], GRPC_OK, "");
}
END_TEST

/* ---- slow clients */

enum {
        SLOW_REVISIONS = 60,
        SLOW_KEYS = 100,
        SLOW_BYTES = 10000, /* of a value: 60 MB in all */
};

static Client *slow_watch(void) {
        Served__WatchCreateRequest create = watch_of("k");
        Client *stream = NULL;

        create.range_end = text("l");
        create.watch_id = 9;
        ask_watch(&stream, &create);
        ck_assert(next_event(stream)->created);
        for (size_t i = 0; i < SLOW_REVISIONS; i++)
                own_put(SLOW_KEYS, SLOW_BYTES);
        turn_some(f.server, 200);
        return stream;
}

/* Of a client that does not read, some megabytes wait in memory; the rest is in the history, and is
 * told in the end: everything, once, in order. */
START_TEST(test_slow_watch_goes_on) {
        Client *stream = slow_watch();
        int64_t last = 0;
        size_t n = 0;

        while (n < (size_t)SLOW_REVISIONS * SLOW_KEYS) {
                const Served__WatchResponse *response = next_event(stream);

                ck_assert(!response->canceled);
                for (size_t i = 0; i < response->n_events; i++, n++) {
                        const Served__KeyValue *kv = response->events[i]->kv;

                        if (last > 0)
                                ck_assert_int_eq(kv->mod_revision, last + (n % SLOW_KEYS == 0));
                        last = kv->mod_revision;
                }
                etcd_arena_done(&f.arena);
        }
        ck_assert_uint_eq(n, (size_t)SLOW_REVISIONS * SLOW_KEYS);
}
END_TEST

/* One that does not read for half a minute is cancelled, in words, and the stream lives. */
START_TEST(test_slow_watch_is_cancelled) {
        Client *stream = slow_watch();
        Served__WatchCreateRequest create = watch_of("other");
        const Served__WatchResponse *response;
        size_t n = 0;

        virtual_env_run_until(&f.env, f.server, f.env.now_us + 29 * US_PER_S);
        ck_assert_uint_eq(serve_stats(f.serve).n_watches, 1);
        virtual_env_run_until(&f.env, f.server, f.env.now_us + 2 * US_PER_S);
        ck_assert_uint_eq(serve_stats(f.serve).n_watches, 0);
        do {
                response = next_event(stream);
                n += response->n_events;
        } while (!response->canceled);
        ck_assert_int_eq(response->watch_id, 9);
        ck_assert_str_eq(response->cancel_reason, "the client does not take its events");
        ck_assert_uint_lt(n, (size_t)SLOW_REVISIONS * SLOW_KEYS);

        ask_watch(&stream, &create);
        ck_assert(next_event(stream)->created);
}
END_TEST

/* ---- watches */

static const Served__WatchResponse *large_revision(bool takes_fragments, Client **stream) {
        Served__WatchCreateRequest create = watch_of("k");

        create.range_end = text("l");
        create.prev_kv = true;
        create.fragment = takes_fragments;
        own_put(SLOW_KEYS, 14000);
        ask_watch(stream, &create);
        ck_assert(next_event(*stream)->created);
        own_put(SLOW_KEYS, 14000);
        return next_event(*stream);
}

START_TEST(test_whole) {
        Client *stream = NULL;
        const Served__WatchResponse *response = large_revision(false, &stream);

        ck_assert_uint_eq(response->n_events, SLOW_KEYS);
        ck_assert(!response->fragment);
        ck_assert_uint_eq(response->events[7]->prev_kv->value.len, 14000);
        ck_assert_int_eq(response->events[7]->prev_kv->version, 1);
}
END_TEST

START_TEST(test_fragments) {
        Client *stream = NULL;
        const Served__WatchResponse *response = large_revision(true, &stream);
        size_t n = response->n_events;

        ck_assert(response->fragment);
        ck_assert_uint_lt(n, SLOW_KEYS);
        response = next_event(stream);
        ck_assert(!response->fragment);
        ck_assert_uint_eq(n + response->n_events, SLOW_KEYS);
}
END_TEST

/* Filters leave out what they name, and a message that would be empty. */
START_TEST(test_watch_filters) {
        Served__WatchCreateRequest__Filter no_put[] = {
                SERVED__WATCH_CREATE_REQUEST__FILTER__NOPUT
        };
        Served__WatchCreateRequest create = watch_of("k000");
        Served__DeleteRangeRequest del = SERVED__DELETE_RANGE_REQUEST__INIT;
        const Served__WatchResponse *response;
        Client *stream = NULL;

        create.filters = no_put;
        create.n_filters = 1;
        ask_watch(&stream, &create);
        ck_assert(next_event(stream)->created);
        own_put(1, 10);
        del.key = text("k000");
        expect_end(start("/etcdserverpb.KV/DeleteRange", true, &del.base), GRPC_OK, "");
        response = next_event(stream);
        ck_assert_uint_eq(response->n_events, 1);
        ck_assert_int_eq(response->events[0]->type, SERVED__EVENT__TYPE__DELETE);
}
END_TEST

/* A watch that begins when there is no revision yet is told of nothing that was before, however far
 * that is. */
START_TEST(test_watch_of_the_future) {
        static const int64_t revisions[] = { 4, INT64_C(1) << 44, INT64_MAX };
        Client *stream = NULL;

        own_put(1, 10);
        for (size_t i = 0; i < ELEMENTSOF(revisions); i++) {
                Served__WatchCreateRequest create = watch_of("k000");

                create.start_revision = revisions[i];
                ask_watch(&stream, &create);
                ck_assert(next_event(stream)->created);
        }
        own_put(1, 10);
        pass_s(1);
        ck_assert(list_is_empty(&stream->messages));
        own_put(1, 10);
        ck_assert_int_eq(next_event(stream)->watch_id, 0);
        pass_s(1);
        ck_assert(list_is_empty(&stream->messages));
}
END_TEST

/* A watch that wants it hears of progress when it has heard nothing else for ten minutes. */
START_TEST(test_progress) {
        Served__WatchCreateRequest create = watch_of("quiet");
        const Served__WatchResponse *response;
        Client *stream = NULL;

        create.progress_notify = true;
        create.watch_id = 5;
        ask_watch(&stream, &create);
        ck_assert(next_event(stream)->created);
        own_put(1, 10);
        pass_s(601);
        response = next_event(stream);
        ck_assert_int_eq(response->watch_id, 5);
        ck_assert_uint_eq(response->n_events, 0);
        ck_assert_int_eq(response->header->revision, 2);
}
END_TEST

/* ---- a file that cannot be used */

/* A write that begins anew as soon as it has ended. */
typedef struct Writer {
        StoreRequest request;
        unsigned n_ends;
        bool may_end;
} Writer;

static void writer_begin(Writer *writer);

static void writer_done(StoreRequest *request, int status, const StoreReply *reply) {
        Writer *writer = container_of(request, Writer, request);

        (void)reply;
        ck_assert_int_eq(status, STORE_E_NO_SPACE);
        writer->n_ends++;
        if (!writer->may_end)
                writer_begin(writer);
}

static void writer_begin(Writer *writer) {
        const StoreOp put = { .kind = STORE_OP_PUT, .key = store_bytes("w") };

        ck_assert_int_eq(store_txn(f.own, &writer->request, &(StoreTxn){ .ops = &put, .n_ops = 1 },
                                   US_PER_S, writer_done),
                         0);
}

/* A full disk refuses writes and nothing else, however many there are beside the reads. */
START_TEST(test_reads_on_a_full_disk) {
        const StoreRange one = { .key = store_bytes("k") };
        static Writer writer;
        static Own own;

        writer = (Writer){ 0 };
        sqlite_test_file_set_fault((SqliteFault){ .begin_writing = -ENOSPC });
        writer_begin(&writer);
        for (size_t i = 0; i < 10; i++) {
                own = (Own){ 0 };
                ck_assert_int_eq(store_range(f.own, &own.request, &one, US_PER_S, own_done), 0);
                turn_until(is_true, &own.is_done);
                ck_assert_int_eq(own.status, 0);
        }
        ck_assert_uint_gt(writer.n_ends, 1);
        writer.may_end = true;
        while (store_request_is_pending(&writer.request))
                turn();
}
END_TEST

START_TEST(test_unusable_file) {
        Served__RangeRequest range = SERVED__RANGE_REQUEST__INIT;
        Served__Done nothing = SERVED__DONE__INIT;
        Own own = { 0 };
        const StoreRange one = { .key = store_bytes("k") };
        Client *call;

        sqlite_test_file_set_fault((SqliteFault){ .open = -EIO, .begin = -EIO, .changes = -EIO });
        ck_assert_int_eq(store_range(f.own, &own.request, &one, US_PER_MS, own_done), 0);
        turn_until(is_disconnected, f.own);
        range.key = text("k");
        call = start("/etcdserverpb.KV/Range", true, &range.base);
        turn_until(has_ended, call);
        ck_assert_int_eq(call->code, GRPC_UNAVAILABLE);
        ck_assert_ptr_nonnull(strstr(call->words, "the built-in store cannot be used: "));
        call = start("/etcdserverpb.Maintenance/Status", true, &nothing.base);
        turn_until(has_ended, call);
        ck_assert_int_eq(call->code, GRPC_UNAVAILABLE);

        sqlite_test_file_set_fault((SqliteFault){ 0 });
        pass_s(2);
        expect_end(start("/etcdserverpb.KV/Range", true, &range.base), GRPC_OK, "");
        if (!own.is_done)
                turn_until(is_true, &own.is_done);
}
END_TEST

/* ---- out of memory */

/* Of everything a little: what one asks for in a row. */
static void ask_for_everything(void) {
        Served__RangeRequest range = SERVED__RANGE_REQUEST__INIT;
        Served__PutRequest put = SERVED__PUT_REQUEST__INIT;
        Served__RequestOp ops[2] = { SERVED__REQUEST_OP__INIT, SERVED__REQUEST_OP__INIT };
        Served__RequestOp *list[] = { &ops[0], &ops[1] };
        Served__TxnRequest txn = SERVED__TXN_REQUEST__INIT;
        Served__WatchCreateRequest create = watch_of("k");
        Served__LeaseRequest lease = SERVED__LEASE_REQUEST__INIT;
        Client *stream = NULL;

        range.key = put.key = text("k");
        range.sort_target = SERVED__RANGE_REQUEST__SORT_TARGET__MOD;
        put.prev_kv = true;
        ops[0].request_case = SERVED__REQUEST_OP__REQUEST_PUT;
        ops[0].put = &put;
        ops[1].request_case = SERVED__REQUEST_OP__REQUEST_RANGE;
        ops[1].range = &range;
        txn.success = list;
        txn.n_success = ELEMENTSOF(list);
        create.prev_kv = true;
        ask_watch(&stream, &create);
        (void)start("/etcdserverpb.KV/Txn", true, &txn.base);
        (void)start("/etcdserverpb.KV/Range", true, &range.base);
        lease.id = 7;
        (void)start("/etcdserverpb.Lease/LeaseKeepAlive", false, &lease.base);
        (void)start("/etcdserverpb.Lease/LeaseTimeToLive", true, &lease.base);
}

/* Where memory is short, calls end, or the connection; the server lives on, and nothing leaks. */
START_TEST(test_out_of_memory) {
        Served__RangeRequest range = SERVED__RANGE_REQUEST__INIT;
        bool has_failed = true;
        size_t n = 0;

        f.may_lose = true;
        range.key = text("k");
        for (; has_failed; n++) {
                ask_for_everything();
                turn_some(f.client, 3);
                fault_arm(n);
                for (size_t i = 0; i < 10; i++)
                        fault_assert(loop_turn(f.server, 0) == 0);
                has_failed = fault_disarm();
                pass_s(2);
                drop_calls();
                if (f.is_lost) {
                        f.channel = grpc_channel_free(f.channel);
                        connect_client();
                }
                expect_end(start("/etcdserverpb.KV/Range", true, &range.base), GRPC_OK, "");
                drop_calls();
                pass_s(1);
                ck_assert_uint_eq(serve_stats(f.serve).n_watches, 0);
        }
        ck_assert_uint_gt(n, 30);
}
END_TEST

/* ---- what there is not */

START_TEST(test_what_there_is_not) {
        static const struct {
                const char *path;
                GrpcCode code;
                const char *words;
        } rows[] = {
                { "/etcdserverpb.Auth/Authenticate", GRPC_FAILED_PRECONDITION,
                  "etcdserver: authentication is not enabled" },
                { "/etcdserverpb.Auth/UserList", GRPC_UNIMPLEMENTED,
                  "the built-in store has no users" },
                { "/etcdserverpb.Maintenance/Defragment", GRPC_UNIMPLEMENTED,
                  "the built-in store needs no defragmentation" },
                { "/etcdserverpb.Maintenance/HashKV", GRPC_UNIMPLEMENTED,
                  "the built-in store does not do this" },
                { "/etcdserverpb.Cluster/MemberAdd", GRPC_UNIMPLEMENTED,
                  "the built-in store has one member, and takes no others" },
        };
        Served__Done nothing = SERVED__DONE__INIT;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                expect_end(start(rows[i].path, true, &nothing.base), rows[i].code, rows[i].words);
}
END_TEST

/* A client that asks for an order that there is not gets an error; etcd 3.4 ends itself. */
START_TEST(test_senseless_order) {
        Served__RangeRequest range = SERVED__RANGE_REQUEST__INIT;

        range.key = text("k");
        range.sort_target = (Served__RangeRequest__SortTarget)7;
        expect_end(start("/etcdserverpb.KV/Range", true, &range.base), GRPC_INVALID_ARGUMENT,
                   "the request is malformed");
}
END_TEST

int main(void) {
        Suite *suite = suite_create("served");
        TCase *cases = tcase_create("all");
        SRunner *runner = srunner_create(suite);
        int n_failed;

        tcase_add_checked_fixture(cases, set_up, tear_down);
        tcase_set_timeout(cases, 60);
        tcase_add_test(cases, test_watches_of_a_stream);
        tcase_add_test(cases, test_watches_of_all);
        tcase_add_test(cases, test_renewals_of_a_stream);
        tcase_add_test(cases, test_size_of_a_request);
        tcase_add_test(cases, test_memory_of_a_request);
        tcase_add_test(cases, test_size_of_all_requests);
        tcase_add_test(cases, test_slow_watch_goes_on);
        tcase_add_test(cases, test_slow_watch_is_cancelled);
        tcase_add_test(cases, test_whole);
        tcase_add_test(cases, test_fragments);
        tcase_add_test(cases, test_watch_filters);
        tcase_add_test(cases, test_watch_of_the_future);
        tcase_add_test(cases, test_progress);
        tcase_add_test(cases, test_reads_on_a_full_disk);
        tcase_add_test(cases, test_unusable_file);
        tcase_add_test(cases, test_out_of_memory);
        tcase_add_test(cases, test_what_there_is_not);
        tcase_add_test(cases, test_senseless_order);
        suite_add_tcase(suite, cases);
        srunner_set_fork_status(runner, CK_NOFORK);
        srunner_run_all(runner, CK_NORMAL);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed > 0;
}
