/* SPDX-License-Identifier: Apache-2.0 */

/* etcd's Lease service. */

#include <errno.h>

#include "lib/serve/serve-private.h"

/* ---- one request, one answer */

static void grant_answer(ServeRequest *request, SqliteReply *reply) {
        Served__Header header = serve_header(request->serve, reply->revision);
        Served__LeaseGrantResponse response = SERVED__LEASE_GRANT_RESPONSE__INIT;

        response.header = &header;
        response.id = reply->lease.id;
        response.ttl = reply->lease.ttl_s;
        serve_answer(request, &response.base);
}

void serve_on_grant(GrpcServerCall *call, GrpcMessage *message, void *service) {
        ServeRequest *request = serve_request_new(
                service, call, message, &served__lease_grant_request__descriptor, grant_answer);
        const Served__LeaseGrantRequest *grant;

        if (!request)
                return;

        grant = (const Served__LeaseGrantRequest *)request->message;
        grpc_server_call_set_data(call, request);
        serve_request_started(
                request, sqlite_request_grant(&request->request, request->serve->sqlite, grant->id,
                                              grant->ttl, SERVE_TIMEOUT_US, serve_request_done));
}

static void revoke_answer(ServeRequest *request, SqliteReply *reply) {
        serve_answer_done(request, reply->revision);
}

void serve_on_revoke(GrpcServerCall *call, GrpcMessage *message, void *service) {
        ServeRequest *request = serve_request_new(
                service, call, message, &served__lease_request__descriptor, revoke_answer);

        if (!request)
                return;

        grpc_server_call_set_data(call, request);
        serve_request_started(request,
                              sqlite_request_revoke(&request->request, request->serve->sqlite,
                                                    ((Served__LeaseRequest *)request->message)->id,
                                                    SERVE_TIMEOUT_US, serve_request_done));
}

static void look_answer(ServeRequest *request, SqliteReply *reply) {
        const SqliteRows *keys = &reply->keys;
        Served__Header header = serve_header(request->serve, reply->revision);
        Served__LeaseTimeToLiveResponse response = SERVED__LEASE_TIME_TO_LIVE_RESPONSE__INIT;

        response.header = &header;
        response.id = reply->lease.id;
        response.ttl = reply->lease.left_s;
        response.granted_ttl = reply->lease.ttl_s;
        response.n_keys = keys->n_kvs;
        response.keys = serve_allocate(&request->arena, keys->n_kvs, sizeof(*response.keys));
        for (size_t i = 0; response.keys && i < keys->n_kvs; i++)
                response.keys[i] = (ProtobufCBinaryData){
                        .len = keys->kvs[i].key.n_bytes,
                        .data = (uint8_t *)keys->kvs[i].key.data,
                };
        serve_answer(request, response.keys ? &response.base : NULL);
}

/* Of a lease that there is not, etcd says that -1 seconds are left. */
static void look_failed(ServeRequest *request, int status) {
        const SqliteState state = sqlite_store_state(request->serve->sqlite);
        Served__Header header = serve_header(request->serve, state.revision);
        Served__LeaseTimeToLiveResponse response = SERVED__LEASE_TIME_TO_LIVE_RESPONSE__INIT;

        if (status != STORE_E_NO_LEASE) {
                serve_end(TAKE(request->call), status);
                return;
        }
        response.header = &header;
        response.id = ((const Served__LeaseTimeToLiveRequest *)request->message)->id;
        response.ttl = -1;
        serve_answer(request, &response.base);
}

void serve_on_look(GrpcServerCall *call, GrpcMessage *message, void *service) {
        ServeRequest *request = serve_request_new(service, call, message,
                                                  &served__lease_time_to_live_request__descriptor,
                                                  look_answer);
        const Served__LeaseTimeToLiveRequest *look;

        if (!request)
                return;

        look = (const Served__LeaseTimeToLiveRequest *)request->message;
        request->failed = look_failed;
        grpc_server_call_set_data(call, request);
        serve_request_started(
                request, sqlite_request_look(&request->request, request->serve->sqlite, look->id,
                                             look->keys, SERVE_TIMEOUT_US, serve_request_done));
}

static void leases_answer(ServeRequest *request, SqliteReply *reply) {
        size_t n = reply->n_leases;
        Served__Header header = serve_header(request->serve, reply->revision);
        Served__LeaseRequest *leases = serve_allocate(&request->arena, n, sizeof(*leases));
        Served__LeaseLeasesResponse response = SERVED__LEASE_LEASES_RESPONSE__INIT;

        response.header = &header;
        response.n_leases = n;
        response.leases = serve_allocate(&request->arena, n, sizeof(Served__LeaseRequest *));
        for (size_t i = 0; leases && response.leases && i < n; i++) {
                served__lease_request__init(&leases[i]);
                leases[i].id = reply->leases[i].id;
                response.leases[i] = &leases[i];
        }
        serve_answer(request, leases && response.leases ? &response.base : NULL);
}

void serve_on_leases(GrpcServerCall *call, GrpcMessage *message, void *service) {
        ServeRequest *request = serve_request_new(service, call, message, &served__done__descriptor,
                                                  leases_answer);

        if (!request)
                return;

        grpc_server_call_set_data(call, request);
        serve_request_started(request,
                              sqlite_request_leases(&request->request, request->serve->sqlite,
                                                    SERVE_TIMEOUT_US, serve_request_done));
}

/* ---- keep-alives: a stream of requests, each with an answer, in their order */

typedef struct Renewals {
        GrpcServerCall *call; /* borrowed; NULL: it has ended */
        unsigned n_pending;   /* requests that have not ended */
        bool is_finished;     /* the client asks for no more */
} Renewals;

/* Free it once nothing refers to it any more; ends the call where all is answered. */
static void renewals_maybe_end(Renewals *renewals) {
        if (renewals->n_pending > 0 || (renewals->call && !renewals->is_finished))
                return;

        if (renewals->call)
                grpc_server_call_end(renewals->call, GRPC_OK, "");
        free(renewals);
}

static void renewals_tell(Renewals *renewals, ServeRequest *request, int64_t ttl_s,
                          int64_t revision) {
        Served__Header header = serve_header(request->serve, revision);
        Served__LeaseKeepAliveResponse response = SERVED__LEASE_KEEP_ALIVE_RESPONSE__INIT;
        int r;

        response.header = &header;
        response.id = ((const Served__LeaseRequest *)request->message)->id;
        response.ttl = ttl_s;
        r = serve_send(renewals->call, &response.base);
        if (r < 0)
                serve_end(TAKE(renewals->call), r);
}

static void keep_alive_done(SqliteRequest *sqlite_request, int status, SqliteReply *reply) {
        ServeRequest *request = container_of(sqlite_request, ServeRequest, request);
        Renewals *renewals = request->stream;

        /* Of a lease that there is not, etcd says that it has 0 seconds. */
        if (renewals->call && status == 0)
                renewals_tell(renewals, request, reply->lease.ttl_s, reply->revision);
        else if (renewals->call && status == STORE_E_NO_LEASE)
                renewals_tell(renewals, request, 0,
                              sqlite_store_state(request->serve->sqlite).revision);
        else if (renewals->call)
                serve_end(TAKE(renewals->call), status);
        serve_request_free(request);

        if (renewals->n_pending-- == SERVE_STREAM_RENEWALS_MAX && renewals->call)
                grpc_server_call_pause(renewals->call, false);
        renewals_maybe_end(renewals);
}

static Renewals *renewals_of(GrpcServerCall *call) {
        Renewals *renewals = grpc_server_call_data(call);

        if (renewals)
                return renewals;
        renewals = calloc(1, sizeof(*renewals));
        if (!renewals)
                return NULL;

        renewals->call = call;
        grpc_server_call_set_data(call, renewals);
        return renewals;
}

static int renewals_start(Renewals *renewals, ServeRequest *request) {
        int r;

        request->call = NULL;
        request->stream = renewals;
        r = sqlite_request_keep_alive(&request->request, request->serve->sqlite,
                                      ((const Served__LeaseRequest *)request->message)->id,
                                      SERVE_TIMEOUT_US, keep_alive_done);
        if (r < 0)
                return r;

        if (++renewals->n_pending == SERVE_STREAM_RENEWALS_MAX)
                grpc_server_call_pause(renewals->call, true);
        return 0;
}

void serve_on_keep_alive(GrpcServerCall *call, GrpcMessage *message, void *service) {
        Renewals *renewals = renewals_of(call);
        ServeRequest *request;
        int r;

        if (!renewals) {
                free(message);
                serve_end(call, -ENOMEM);
                return;
        }

        request = serve_request_new(service, call, message, &served__lease_request__descriptor,
                                    NULL);
        if (!request) {
                renewals->call = NULL; /* it has ended with the reason */
                renewals_maybe_end(renewals);
                return;
        }
        r = renewals_start(renewals, request);
        if (r < 0) {
                serve_request_free(request);
                serve_end(TAKE(renewals->call), r);
                renewals_maybe_end(renewals);
        }
}

void serve_on_keep_alive_finished(GrpcServerCall *call, void *service) {
        Renewals *renewals = grpc_server_call_data(call);

        (void)service;
        if (!renewals) {
                grpc_server_call_end(call, GRPC_OK, "");
                return;
        }
        renewals->is_finished = true;
        renewals_maybe_end(renewals);
}

void serve_on_keep_alive_gone(GrpcServerCall *call, GrpcGone why, void *service) {
        Renewals *renewals = grpc_server_call_data(call);

        (void)why;
        (void)service;
        if (!renewals)
                return;
        renewals->call = NULL;
        renewals_maybe_end(renewals);
}
