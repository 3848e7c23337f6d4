/* SPDX-License-Identifier: Apache-2.0 */

/* etcd's KV service. */

#include "lib/serve/serve-private.h"

/* Of one request per call the call knows, for when its client is gone. */
static void kv_start(ServeRequest *request, const StoreCommand *command) {
        int r = 0;

        grpc_server_call_set_data(request->call, request);
        if (request->n_bytes > SERVE_REQUEST_MAX_BYTES && store_command_writes(command))
                r = STORE_E_TOO_LARGE;
        if (r == 0)
                r = sqlite_request_command(&request->request, request->serve->sqlite, command,
                                           SERVE_TIMEOUT_US, serve_request_done);
        serve_request_started(request, r);
}

static void range_answer(ServeRequest *request, SqliteReply *reply) {
        Served__RangeResponse *response = serve_range_response(
                &request->arena, (const Served__RangeRequest *)request->message, reply->answer);

        if (response)
                response->header = serve_request_header(request, reply->answer->revision);
        serve_answer(request, response && response->header ? &response->base : NULL);
}

void serve_on_range(GrpcServerCall *call, GrpcMessage *message, void *service) {
        ServeRequest *request = serve_request_new(service, call, message,
                                                  &served__range_request__descriptor, range_answer);
        StoreCommand command;
        int r;

        if (!request)
                return;

        r = serve_command_of_range((const Served__RangeRequest *)request->message, &command);
        if (r == 0)
                kv_start(request, &command);
        else
                serve_request_started(request, r);
}

static void put_answer(ServeRequest *request, SqliteReply *reply) {
        Served__PutResponse *response = serve_put_response(&request->arena, reply->answer);

        if (response)
                response->header = serve_request_header(request, reply->answer->revision);
        serve_answer(request, response && response->header ? &response->base : NULL);
}

void serve_on_put(GrpcServerCall *call, GrpcMessage *message, void *service) {
        ServeRequest *request = serve_request_new(service, call, message,
                                                  &served__put_request__descriptor, put_answer);
        StoreCommand command;

        if (!request)
                return;

        serve_command_of_put((const Served__PutRequest *)request->message, &command);
        kv_start(request, &command);
}

static void delete_answer(ServeRequest *request, SqliteReply *reply) {
        Served__DeleteRangeResponse *response = serve_delete_response(&request->arena,
                                                                      reply->answer);

        if (response)
                response->header = serve_request_header(request, reply->answer->revision);
        serve_answer(request, response && response->header ? &response->base : NULL);
}

void serve_on_delete(GrpcServerCall *call, GrpcMessage *message, void *service) {
        ServeRequest *request = serve_request_new(
                service, call, message, &served__delete_range_request__descriptor, delete_answer);
        StoreCommand command;

        if (!request)
                return;

        serve_command_of_delete((const Served__DeleteRangeRequest *)request->message, &command);
        kv_start(request, &command);
}

static void txn_answer(ServeRequest *request, SqliteReply *reply) {
        Served__TxnResponse *response = serve_txn_response(
                &request->arena, (const Served__TxnRequest *)request->message, reply->answer);

        if (response)
                response->header = serve_request_header(request, reply->answer->revision);
        serve_answer(request, response && response->header ? &response->base : NULL);
}

void serve_on_txn(GrpcServerCall *call, GrpcMessage *message, void *service) {
        ServeRequest *request = serve_request_new(service, call, message,
                                                  &served__txn_request__descriptor, txn_answer);
        StoreCommand command;
        int r;

        if (!request)
                return;

        r = serve_command_of_txn((const Served__TxnRequest *)request->message, &request->arena,
                                 &command);
        if (r == 0)
                kv_start(request, &command);
        else
                serve_request_started(request, r);
}

static void compact_answer(ServeRequest *request, SqliteReply *reply) {
        serve_answer_done(request, reply->revision);
}

void serve_on_compact(GrpcServerCall *call, GrpcMessage *message, void *service) {
        ServeRequest *request = serve_request_new(
                service, call, message, &served__compaction_request__descriptor, compact_answer);

        if (!request)
                return;

        grpc_server_call_set_data(call, request);
        serve_request_started(
                request,
                sqlite_request_compact(&request->request, request->serve->sqlite,
                                       ((Served__CompactionRequest *)request->message)->revision,
                                       SERVE_TIMEOUT_US, serve_request_done));
}
