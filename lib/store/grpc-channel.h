/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* gRPC's client side over one HTTP/2 connection: calls with deadlines, unary or streaming
 * both ways. It knows nothing of what the messages mean, and never reconnects: a lost channel is
 * freed and another one made.
 *
 * Calls are handles, not requests (lib/loop/loop.h, rule 3): resetting one is immediate and nothing
 * of it runs afterwards. All callbacks run from the loop, never inside a function that the owner
 * called, except as grpc_channel_abort() says.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/list.h"
#include "lib/loop/loop.h"
#include "lib/loop/stream-tls.h"
#include "lib/store/grpc-frame.h"
#include "lib/store/grpc-status.h"

typedef struct GrpcChannel GrpcChannel;
typedef struct GrpcCall GrpcCall;

enum {
        GRPC_CALLS_MAX = 4096, /* calls attached to one channel, open or waiting for their turn */
        GRPC_METADATA_MAX = 4, /* headers that grpc_channel_set_metadata() holds */
        GRPC_OUTPUT_MAX_BYTES = 16 << 20, /* messages of one call that are queued for sending */
};

/* What a call tells its owner. */
typedef struct GrpcCallVtable {
        /* A message arrived; the owner frees it. */
        void (*message)(GrpcCall *call, GrpcMessage *message);
        /* The call has ended and is idle again; nothing of it follows. */
        void (*ended)(GrpcCall *call, const GrpcStatus *status);
} GrpcCallVtable;

/* A call; embed it, and initialize it with grpc_call_init(). */
struct GrpcCall {
        const GrpcCallVtable *vtable;
        const char *path;       /* "/package.Service/Method"; static */
        bool is_unary;          /* it sends one message, which is in `output` at the start */
        GrpcOutput output;      /* owned; messages to send; a unary call keeps its one */
        GrpcChannel *channel;   /* borrowed; NULL while idle */
        ListNode node;          /* in the channel's list of open or waiting calls */
        ListNode event_node;    /* in the channel's list of calls that have something to tell */
        int32_t stream_id;      /* 0 while it waits for its turn */
        bool is_open;           /* HTTP/2 knows the stream */
        bool has_ended;         /* the end has come and is about to be told */
        bool may_have_run;      /* see GrpcStatus */
        int http_status;        /* 0 until it is known */
        int code;               /* GRPC_*; -1 until it is known */
        bool is_local;          /* `code` was decided on this side */
        char *status_message;   /* owned; or NULL */
        GrpcFrameReader reader; /* what arrives */
        LoopTimer deadline;     /* set when the call has one */
};

/* The channel is of no use for new calls: it could not connect, was closed by the peer, broke,
 * was silent, or is going away (HTTP/2 GOAWAY). All its calls have ended. Called once, from the
 * loop; `reason` is a sentence's worth of words. The channel may not be freed in here, but any
 * time after. */
typedef void (*GrpcChannelLostFn)(GrpcChannel *channel, const char *reason, void *userdata);

/* Where a server is. Borrowed for the call. */
typedef struct GrpcTarget {
        const char *host; /* a name or an address, without brackets */
        uint16_t port;
        const StreamTls *tls; /* NULL = plain; `protocol` is ours to say */
} GrpcTarget;

/* Connect to a server within `timeout_us`, the TLS handshake included. Calls can be started at
 * once; they wait. Returns 0, -ENOMEM or -EINVAL (port). */
int grpc_channel_connect(GrpcChannel **ret_channel, Loop *loop, const GrpcTarget *target,
                         uint64_t timeout_us, GrpcChannelLostFn lost, void *userdata);

/* A channel over a connected socket; takes the descriptor, also on error. `authority` is what
 * the server is called. Returns 0, -ENOMEM. */
int grpc_channel_from_fd(GrpcChannel **ret_channel, Loop *loop, int fd, const char *authority,
                         GrpcChannelLostFn lost, void *userdata);

/* Close and free; calls are detached without a word. Not from inside a callback of the channel
 * or its calls. Takes NULL; returns NULL. */
GrpcChannel *grpc_channel_free(GrpcChannel *channel);
DEFINE_CLEANUP(GrpcChannel, grpc_channel_free)

/* End all calls with GRPC_UNAVAILABLE and this reason; their callbacks run in here, `lost` does
 * not run any more. Not from inside a callback of the channel or its calls. */
void grpc_channel_abort(GrpcChannel *channel, const char *reason);

/* Send this header with every call that is started from now on; NULL removes it. `name` is
 * static and lower-case. Returns 0, -ENOMEM, or -ENOSPC beyond GRPC_METADATA_MAX. */
int grpc_channel_set_metadata(GrpcChannel *channel, const char *name, const char *value);

/* Make a zeroed or finished call ready for messages and a start. */
void grpc_call_init(GrpcCall *call, const GrpcCallVtable *vtable, const char *path, bool is_unary);

/* Make room for a message of `n_bytes` bytes at the end of the output, for the caller to fill at
 * once. Returns 0, -ENOMEM, or -ENOBUFS when the output is full. */
int grpc_call_add_message(GrpcCall *call, size_t n_bytes, uint8_t **ret_bytes);

/* Start the call; `timeout_us` > 0 is its deadline, told to the server slightly shorter; 0 =
 * none. It waits while the connection is being made or the server allows no more streams.
 * Returns 0, -ENOTCONN when the channel is lost, -EBUSY at GRPC_CALLS_MAX, -ENOMEM. */
int grpc_call_start(GrpcChannel *channel, GrpcCall *call, uint64_t timeout_us);

/* Tell the channel that messages were added to a running call. */
void grpc_call_send(GrpcCall *call);

/* Give the call up, if it runs: nothing of it runs any more. */
void grpc_call_reset(GrpcCall *call);

/* Reset the call and free what it holds. */
void grpc_call_done(GrpcCall *call);

/* Is the call started and not ended? */
bool grpc_call_is_running(const GrpcCall *call);
