/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What grpc-server.c (listening, and how many there are), grpc-server-connection.c (one client) and
 * grpc-server-call.c (one call) share. */

#include <nghttp2/nghttp2.h>

#include "lib/store/grpc-server.h"

typedef struct GrpcConnection GrpcConnection;
typedef struct GrpcListener GrpcListener;

enum {
        GRPC_SERVER_PEER_BYTES = 64,            /* room for an address and a port as text */
        GRPC_SERVER_HELLO_US = 10 * US_PER_S,   /* for the TLS handshake; then for HTTP/2's */
        GRPC_SERVER_REQUEST_US = 60 * US_PER_S, /* for the one message of a request to arrive */
        GRPC_SERVER_TAKE_US = 30 * US_PER_S,    /* for a call that has ended to be taken */
        GRPC_SERVER_CLOSE_US = 1 * US_PER_S,    /* for everybody, when the server is closed */
};

/* A call. It is in its connection's `calls` as long as HTTP/2 knows the stream or the service has
 * not let go of it. */
struct GrpcServerCall {
        GrpcConnection *connection; /* borrowed */
        const GrpcMethod *method;   /* NULL when there is none of that path */
        void *data;                 /* the service's */
        int32_t stream_id;
        ListNode node;       /* in the connection's `calls` */
        ListNode event_node; /* in its `events`: there is something to tell the service */
        ListNode ready_node; /* in its `ready`: there is something to hand to HTTP/2 */
        ListNode full_node;  /* in the server's `full`: it waits for room in a queue */
        GrpcFrameReader reader;
        GrpcOutput output;
        LoopTimer timer;         /* what it may not take longer for: see call_on_timer() */
        uint64_t deadline_us;    /* the client's; UINT64_MAX = none */
        size_t n_withheld_bytes; /* of the client's credit, while the call is paused */
        size_t n_input_bytes;    /* its share of the connection's */
        size_t n_header_bytes;   /* of its request, as RFC 9113 counts them */
        size_t n_notice_bytes;   /* that were added to a full queue */
        int http_status;         /* of the answer */
        int code;                /* GRPC_*; -1 until the end is decided */
        char *status_message;    /* owned; percent-encoded; or NULL */
        GrpcGone why_gone;       /* if `is_gone` */
        bool is_post : 1;        /* what the request's headers say... */
        bool is_grpc : 1;
        bool is_encoded : 1;
        bool has_bad_timeout : 1; /* ...until here */
        bool is_open : 1;         /* HTTP/2 knows the stream */
        bool is_held : 1;         /* the service knows it, and neither has ended it nor was told */
        bool is_gone : 1;         /* this is to be told, if the service knows the call */
        bool is_finished : 1;     /* the client has ended its side */
        bool is_finish_told : 1;
        bool is_paused : 1;
        bool is_drained : 1;   /* this is to be told */
        bool is_submitted : 1; /* the answer has begun */
};

/* A client. */
struct GrpcConnection {
        GrpcServer *server;       /* borrowed */
        Stream *stream;           /* owned */
        nghttp2_session *session; /* owned; NULL until TLS has shaken hands */
        ListNode node;            /* in the server's `connections` */
        ListNode dirty_node;      /* in its `dirty`: there may be something to send */
        List calls;               /* GrpcServerCall.node */
        List events;              /* GrpcServerCall.event_node */
        List ready;               /* GrpcServerCall.ready_node */
        GrpcServerCall *telling; /* whose callback runs now; NULL also when it was freed in there */
        LoopDeferred pending;    /* tells what came up outside of the stream's callbacks */
        LoopTimer silence;       /* see connection_on_silence() */
        size_t n_input_bytes;    /* of all calls: that are here, and not told */
        size_t n_output_bytes;   /* of all calls: that wait to be taken */
        uint64_t resets_since_us; /* `n_resets` counts from then on */
        unsigned n_resets;        /* streams that the client has reset */
        bool is_tls;
        bool has_heard;       /* the client has sent something */
        bool is_greeted;      /* and shown that it speaks HTTP/2 */
        bool is_reading;      /* nghttp2 is on the stack, and what it finds is told afterwards */
        bool is_ping_pending; /* it was asked for a sign of life */
        bool is_closing;      /* it was told to go (GOAWAY) */
        const char
                *failure; /* static; why to give it up in the next turn; "" = no matter; or NULL */
        char peer[GRPC_SERVER_PEER_BYTES];
};

/* The server. */
struct GrpcServer {
        Loop *loop; /* borrowed */
        GrpcService service;
        List listeners;   /* GrpcListener */
        List connections; /* GrpcConnection.node */
        List dirty;       /* GrpcConnection.dirty_node */
        List full;        /* GrpcServerCall.full_node */
        unsigned n_connections;
        unsigned n_calls;
        size_t n_input_bytes; /* of all connections */
        size_t n_output_bytes;
        LoopHook hook;     /* sends before every wait */
        LoopTimer rest;    /* while it is set, nobody is accepted: descriptors ran out */
        LoopTimer bound;   /* of closing */
        LoopDeferred done; /* tells that everything is closed */
        void (*closed)(GrpcServer *server, void *service); /* or NULL */
        bool is_closing;
        bool is_calling_out; /* a callback of the service is on the stack */
        uint64_t troubles_since_us;
        unsigned n_troubles; /* since then, told and not */
};

/* Tell the service of trouble with a peer (or NULL), but not too often. */
void grpc_server_say(GrpcServer *server, const char *peer, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* Something that waited for room in a queue may go on. */
void grpc_server_check_room(GrpcServer *server);

/* One connection is gone. */
void grpc_server_note_end(GrpcServer *server);

/* Serve a connected socket; takes the descriptor, also on error. Returns 0 or a negative errno. */
int grpc_connection_new(GrpcServer *server, int fd, const StreamTlsServer *tls);

/* End it at once: its calls are gone for `why`, and it is freed. Only from the loop, and not from
 * inside a callback of the service. */
void grpc_connection_drop(GrpcConnection *connection, GrpcGone why);

/* Tell the client to go, and end its streams. */
void grpc_connection_close(GrpcConnection *connection);

/* Hand to the stream what there is to send. */
void grpc_connection_flush(GrpcConnection *connection);

/* Have grpc_connection_flush() called before the next wait. */
void grpc_connection_mark(GrpcConnection *connection);

/* The stream's request has begun. NULL on out of memory. */
GrpcServerCall *grpc_server_call_new(GrpcConnection *connection, int32_t stream_id);

/* Free it; the service does not know it any more. */
void grpc_server_call_free(GrpcServerCall *call);

/* What HTTP/2 found: a header of the request, their end, bytes of its body, its end, and the end of
 * the stream. They only take notes. */
void grpc_server_call_on_header(GrpcServerCall *call, nghttp2_vec name, nghttp2_vec value);
void grpc_server_call_on_headers_end(GrpcServerCall *call);
void grpc_server_call_on_data(GrpcServerCall *call, const uint8_t *bytes, size_t n_bytes);
void grpc_server_call_on_finished(GrpcServerCall *call);
void grpc_server_call_on_closed(GrpcServerCall *call);

/* Tell the service what has been noted. The call may be freed. */
void grpc_server_call_tell(GrpcServerCall *call);

/* The call is gone for this reason, unless it is already; what the client is to be told is in
 * `code`. */
void grpc_server_call_lose(GrpcServerCall *call, GrpcGone why, GrpcCode code, const char *message);

/* Hand what is new of the call to HTTP/2. Returns 0 or -ENOMEM. */
int grpc_server_call_submit(GrpcServerCall *call);
