/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What grpc-channel.c (the connection) and grpc-call.c (the calls on it) share. */

#include <nghttp2/nghttp2.h>

#include "lib/store/grpc-channel.h"

/* A header that goes with every call. */
typedef struct GrpcMetadata {
        const char *name; /* static */
        char *value;      /* owned */
} GrpcMetadata;

struct GrpcChannel {
        Loop *loop;               /* borrowed */
        Stream *stream;           /* owned; NULL once lost */
        nghttp2_session *session; /* owned; NULL until connected */
        GrpcChannelLostFn lost;
        void *userdata;
        char *authority; /* owned; the :authority of every call */
        GrpcMetadata metadata[GRPC_METADATA_MAX];
        size_t n_metadata;
        List waiting;          /* GrpcCall.node; started, not submitted to HTTP/2 */
        List open;             /* GrpcCall.node; submitted */
        List events;           /* GrpcCall.event_node; have messages, or have ended */
        GrpcCall *telling;     /* whose callback runs now; NULL also when it was reset in there */
        size_t n_calls;        /* in waiting and open */
        size_t n_open;         /* in open */
        size_t n_open_unary;   /* of these */
        LoopHook hook;         /* flushes before every wait */
        LoopDeferred pending;  /* tells what came up outside of a stream callback */
        LoopTimer ping_answer; /* the peer's PING must be answered at last; set while one is owed */
        uint64_t ping_due_us;  /* from then on the answer goes with whatever is sent */
        uint8_t ping[8];       /* what it asked with */
        LoopTimer silence;     /* see channel_on_silence() */
        bool is_ping_pending;  /* the peer was asked for a sign of life */
        bool is_going_away;    /* the peer takes no new calls (GOAWAY) */
        bool is_tls;
        bool has_heard; /* the server has sent something */
        bool is_lost;
        bool is_calling_out; /* an owner's callback is on the stack */
        const char *failure; /* static; why to give up in the next turn, or NULL */
};

/* Hand a waiting call to HTTP/2. Returns 0 or a negative errno, on which it still waits. */
int grpc_call_submit(GrpcCall *call);

/* Queue the call for channel_tell(). */
void grpc_call_note_event(GrpcCall *call);

/* Note how the call ended, unless that is known already. */
void grpc_call_note_end(GrpcCall *call, GrpcCode code, bool is_local, const char *message);

/* Take the call off its channel and tell its owner. */
void grpc_call_end(GrpcCall *call);

/* Have something told from the loop soon. */
static inline void grpc_channel_wake(GrpcChannel *channel) {
        loop_defer(channel->loop, &channel->pending);
}
