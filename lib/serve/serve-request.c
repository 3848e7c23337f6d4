/* SPDX-License-Identifier: Apache-2.0 */

/* Requests on their way through the server, whatever they ask for:
 *
 *     message ──decode──> started in the store ──> answered, and the call ends
 *                             │
 *                             └─ the client is gone: its end is for nobody
 */

#include <errno.h>

#include "lib/serve/serve-private.h"
#include "lib/serve/serve-scan.h"

enum { TERM = 2 }; /* of an etcd of one member whose election is over */

uint64_t serve_member_id(const Serve *serve) {
        return ~sqlite_store_state(serve->sqlite).identity | 1;
}

Served__Header serve_header(const Serve *serve, int64_t revision) {
        Served__Header header = SERVED__HEADER__INIT;

        header.cluster_id = sqlite_store_state(serve->sqlite).identity;
        header.member_id = serve_member_id(serve);
        header.revision = revision;
        header.raft_term = TERM;
        return header;
}

Served__Header *serve_request_header(ServeRequest *request, int64_t revision) {
        Served__Header *header = serve_allocate(&request->arena, 1, sizeof(*header));

        if (header)
                *header = serve_header(request->serve, revision);
        return header;
}

/* ---- ends */

void serve_end(GrpcServerCall *call, int status) {
        ServeEnd end = serve_end_of(status);

        grpc_server_call_end(call, end.code, end.words);
}

bool serve_is_usable(Serve *serve, GrpcServerCall *call) {
        const SqliteState state = sqlite_store_state(serve->sqlite);
        char words[512];

        if (state.is_open)
                return true;

        serve_unusable_words(state.why, words, sizeof(words));
        grpc_server_call_end(call, GRPC_UNAVAILABLE, words);
        return false;
}

int serve_send(GrpcServerCall *call, const ProtobufCMessage *message) {
        uint8_t *bytes;
        int r = grpc_server_call_add_message(call, protobuf_c_message_get_packed_size(message),
                                             &bytes);

        if (r == 0)
                (void)protobuf_c_message_pack(message, bytes);
        return r;
}

void serve_answer(ServeRequest *request, const ProtobufCMessage *message) {
        GrpcServerCall *call = TAKE(request->call);
        int r = message ? serve_send(call, message) : -ENOMEM;

        if (r == 0)
                grpc_server_call_end(call, GRPC_OK, "");
        else
                serve_end(call, r);
}

void serve_answer_done(ServeRequest *request, int64_t revision) {
        Served__Header header = serve_header(request->serve, revision);
        Served__Done done = SERVED__DONE__INIT;

        done.header = &header;
        serve_answer(request, &done.base);
}

/* ---- requests */

void serve_request_free(ServeRequest *request) {
        Serve *serve = request->serve;

        list_remove(&request->node);
        serve->n_request_bytes -= request->n_held_bytes;
        etcd_arena_done(&request->arena);
        free(request);
        if (serve->closed)
                loop_defer(serve->loop, &serve->closing);
}

static void serve_request_end(ServeRequest *request, int status) {
        if (request->call && request->failed)
                request->failed(request, status);
        else if (request->call)
                serve_end(TAKE(request->call), status);
        serve_request_free(request);
}

static bool is_transaction(const ProtobufCMessageDescriptor *type) {
        return type == &served__txn_request__descriptor;
}

/* What it takes in memory counts from now on. Returns 0, or -EBUSY: there is too much of all. */
static int serve_request_count(ServeRequest *request) {
        Serve *serve = request->serve;

        if (serve->n_request_bytes + request->arena.n_bytes > SERVE_REQUESTS_MAX_BYTES)
                return -EBUSY;
        request->n_held_bytes = request->arena.n_bytes;
        serve->n_request_bytes += request->n_held_bytes;
        return 0;
}

static int serve_request_decode(ServeRequest *request, const GrpcMessage *message,
                                const ProtobufCMessageDescriptor *type) {
        int r = is_transaction(type)
                        ? serve_scan_txn(message->bytes, message->n_bytes, STORE_TXN_OPS_MAX)
                        : 0;

        request->arena.max_bytes = SERVE_DECODED_MAX_BYTES;
        if (r == 0)
                r = serve_decode(type, message, &request->arena, &request->message);
        request->arena.max_bytes = 0; /* the answer goes there, too */
        return r == 0 ? serve_request_count(request) : r;
}

ServeRequest *serve_request_new(Serve *serve, GrpcServerCall *call, GrpcMessage *message,
                                const ProtobufCMessageDescriptor *type, ServeAnswerFn answer) {
        _cleanup_(freep) GrpcMessage *owned = message;
        ServeRequest *request;
        int r;

        if (!serve_is_usable(serve, call))
                return NULL;
        request = calloc(1, sizeof(*request));
        if (!request) {
                serve_end(call, -ENOMEM);
                return NULL;
        }

        request->serve = serve;
        request->call = call;
        request->answer = answer;
        request->n_bytes = message->n_bytes;
        list_append(&serve->requests, &request->node);
        r = serve_request_decode(request, owned, type);
        if (r != 0) {
                serve_request_end(request, r);
                return NULL;
        }
        return request;
}

void serve_request_started(ServeRequest *request, int r) {
        if (r != 0)
                serve_request_end(request, r);
}

void serve_request_done(SqliteRequest *sqlite_request, int status, SqliteReply *reply) {
        ServeRequest *request = container_of(sqlite_request, ServeRequest, request);

        if (status != 0 || !request->call) {
                serve_request_end(request, status);
                return;
        }
        request->answer(request, reply);
        serve_request_free(request);
}

void serve_request_gone(GrpcServerCall *call, GrpcGone why, void *service) {
        ServeRequest *request = grpc_server_call_data(call);

        (void)why;
        (void)service;
        request->call = NULL;
        sqlite_request_cancel(&request->request);
}
