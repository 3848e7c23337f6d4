/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the server share. Only the serve-*.c files include this. */

#include "lib/serve/serve-codec.h"
#include "lib/serve/serve-status.h"
#include "lib/serve/serve.h"
#include "lib/store/grpc-server.h"
#include "lib/store/store-serving.h"

/* How long the store has for a request, as in etcd. */
enum { SERVE_TIMEOUT_US = 7 * US_PER_S };

/* The server. */
struct Serve {
        Loop *loop;          /* borrowed */
        SqliteStore *sqlite; /* borrowed */
        Store *watched;      /* owned: the client of it that has the watches */
        GrpcServer *grpc;    /* owned */
        StrList urls;        /* where clients reach it */
        List requests;       /* ServeRequest.node */
        size_t n_request_bytes;
        size_t n_watches;
        LoopDeferred closing; /* looks whether all has ended */
        void (*closed)(Serve *serve, void *userdata);
        void *closed_userdata;
        bool is_shut; /* no connection is left, and the watched store has closed */
};

typedef struct ServeRequest ServeRequest;

/* Says that the store did what it was asked for: sends the answer, and ends the call where the request
 * is all of it. */
typedef void (*ServeAnswerFn)(ServeRequest *request, SqliteReply *reply);

/* Something that the store was asked for a call. */
struct ServeRequest {
        SqliteRequest request;
        Serve *serve;         /* borrowed */
        GrpcServerCall *call; /* borrowed; NULL: nobody waits for it any more */
        ListNode node;        /* in Serve.requests */
        size_t n_bytes;       /* that the message had */
        size_t n_held_bytes;  /* memory of it, as far as it counts in the server's */
        EtcdArena arena;      /* what was decoded, and the answer */
        ProtobufCMessage *message;
        ServeAnswerFn answer;
        void (*failed)(ServeRequest *request,
                       int status); /* or NULL: the call ends with the outcome */
        void *stream; /* of who has several requests in one call, and no `call` here; borrowed */
};

/* ---- serve-request.c */

/* Take a call's message and decode it. Returns NULL, and has ended the call, where it cannot be
 * answered. */
ServeRequest *serve_request_new(Serve *serve, GrpcServerCall *call, GrpcMessage *message,
                                const ProtobufCMessageDescriptor *type, ServeAnswerFn answer);

/* What starting it with the store came to, 0 or what it ends with at once; and the end of one from the
 * store. The request belongs to these. */
void serve_request_started(ServeRequest *request, int r);
void serve_request_done(SqliteRequest *request, int status, SqliteReply *reply);

/* Free a request that the store has ended. */
void serve_request_free(ServeRequest *request);

/* The call of one request is gone (GrpcMethod.gone). */
void serve_request_gone(GrpcServerCall *call, GrpcGone why, void *service);

/* Send a message. Returns 0 or as grpc_server_call_add_message(). */
int serve_send(GrpcServerCall *call, const ProtobufCMessage *message);

/* Send the answer to a request, and end its call; NULL = there was no memory for it. */
void serve_answer(ServeRequest *request, const ProtobufCMessage *message);

/* End a call with an outcome that is not 0. */
void serve_end(GrpcServerCall *call, int status);

/* May a call be answered now? Ends it where the file cannot be used. */
bool serve_is_usable(Serve *serve, GrpcServerCall *call);

/* The header of an answer at this revision; 0 = without one. */
Served__Header serve_header(const Serve *serve, int64_t revision);

/* The header, in memory of the request's; or NULL. */
Served__Header *serve_request_header(ServeRequest *request, int64_t revision);

/* The member that this is, as etcd counts: never 0. */
uint64_t serve_member_id(const Serve *serve);

/* Answer with nothing but a header. */
void serve_answer_done(ServeRequest *request, int64_t revision);

/* ---- the services: GrpcMethod.message, and what else their rows have */

/* serve-kv.c */
void serve_on_range(GrpcServerCall *call, GrpcMessage *message, void *service);
void serve_on_put(GrpcServerCall *call, GrpcMessage *message, void *service);
void serve_on_delete(GrpcServerCall *call, GrpcMessage *message, void *service);
void serve_on_txn(GrpcServerCall *call, GrpcMessage *message, void *service);
void serve_on_compact(GrpcServerCall *call, GrpcMessage *message, void *service);

/* serve-lease.c */
void serve_on_grant(GrpcServerCall *call, GrpcMessage *message, void *service);
void serve_on_revoke(GrpcServerCall *call, GrpcMessage *message, void *service);
void serve_on_look(GrpcServerCall *call, GrpcMessage *message, void *service);
void serve_on_leases(GrpcServerCall *call, GrpcMessage *message, void *service);
void serve_on_keep_alive(GrpcServerCall *call, GrpcMessage *message, void *service);
void serve_on_keep_alive_finished(GrpcServerCall *call, void *service);
void serve_on_keep_alive_gone(GrpcServerCall *call, GrpcGone why, void *service);

/* serve-watch.c */
void serve_on_watch(GrpcServerCall *call, GrpcMessage *message, void *service);
void serve_on_watch_finished(GrpcServerCall *call, void *service);
void serve_on_watch_drained(GrpcServerCall *call, void *service);
void serve_on_watch_gone(GrpcServerCall *call, GrpcGone why, void *service);

/* serve-member.c */
void serve_on_status(GrpcServerCall *call, GrpcMessage *message, void *service);
void serve_on_members(GrpcServerCall *call, GrpcMessage *message, void *service);
void serve_on_alarm(GrpcServerCall *call, GrpcMessage *message, void *service);
void serve_on_refused(GrpcServerCall *call, GrpcMessage *message, void *service);
