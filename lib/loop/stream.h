/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The stream seam: a connected, ordered, bidirectional flow of bytes. Real ones are TCP
 * (stream_connect_tcp()), unix sockets (stream_connect_unix(), stream_from_fd() for socketpairs),
 * and TLS over another stream (stream-tls.h). All are non-blocking.
 *
 * Events arrive from the loop only. After STREAM_CLOSED nothing more comes, and the owner frees the
 * stream; it may do so from the callback.
 */

#include <stddef.h>
#include <stdint.h>

#include "lib/loop/loop.h"

typedef struct Stream Stream;

typedef enum StreamEvent {
        STREAM_CONNECTED, /* once, for streams that connect; for others as their first event */
        STREAM_READABLE,  /* bytes arrived: call stream_input() */
        STREAM_WRITABLE,  /* everything queued has been handed to the kernel */
        STREAM_CLOSED, /* end: connecting failed, peer closed, or broken; stream_error() says which
                        */
} StreamEvent;

/* Tells the owner of an event. */
typedef void (*StreamFn)(Stream *stream, StreamEvent event, void *userdata);

/* Connect to a TCP port. `host` is an IPv4 or IPv6 address, or a name: it is resolved without
 * blocking. `timeout_us` bounds resolving and connecting together. Returns 0 or -ENOMEM, -EINVAL
 * (port); failing to connect is a STREAM_CLOSED. */
int stream_connect_tcp(Stream **ret_stream, Loop *loop, const char *host, uint16_t port,
                       uint64_t timeout_us, StreamFn fn, void *userdata);

/* Connect to a unix stream socket. Returns as above, -ENAMETOOLONG for a path that sockaddr_un
 * (unix(7)) cannot hold. */
int stream_connect_unix(Stream **ret_stream, Loop *loop, const char *path, uint64_t timeout_us,
                        StreamFn fn, void *userdata);

/* A stream over a connected socket; takes the descriptor, also on error. Returns 0, -ENOMEM, or
 * -EINVAL or -EBADF for a descriptor that cannot be used. */
int stream_from_fd(Stream **ret_stream, Loop *loop, int fd, StreamFn fn, void *userdata);

/* Close at once and free; queued output is dropped and nothing is called any more. Takes NULL;
 * returns NULL. */
Stream *stream_free(Stream *stream);
DEFINE_CLEANUP(Stream, stream_free)

/* The bytes received and not yet consumed: sets `ret_bytes` to contiguous memory, valid until the
 * next stream_input() or stream_consume() or the next turn, and returns how many. */
size_t stream_input(Stream *stream, const uint8_t **ret_bytes);

/* Forget the first `n_bytes` of the input. */
void stream_consume(Stream *stream, size_t n_bytes);

/* Queue bytes for sending; they are copied. Returns 0, -ENOMEM, or -ENOTCONN after the end. The
 * owner bounds what it queues by stream_queued_bytes(). */
int stream_write(Stream *stream, const void *bytes, size_t n_bytes);

/* How many queued bytes the kernel has not taken yet. */
size_t stream_queued_bytes(const Stream *stream);

/* Why the stream ended: 0 = the peer closed it, else a negative errno (-ETIMEDOUT, -ECONNREFUSED,
 * -EHOSTUNREACH for a name that does not resolve...). */
int stream_error(const Stream *stream);

/* What a person should know of why the stream ended, where there is more to say than
 * stream_error(); or NULL. Valid as long as the stream. */
const char *stream_explanation(const Stream *stream);
