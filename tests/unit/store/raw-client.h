/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A client of HTTP/2 that writes its frames by hand (RFC 9113), so that it can break every rule, on
 * one end of a socketpair. The other end is the server's. It reads only when it is told to. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"

enum {
        RAW_DATA = 0,
        RAW_HEADERS = 1,
        RAW_RST_STREAM = 3,
        RAW_SETTINGS = 4,
        RAW_PING = 6,
        RAW_GOAWAY = 7,
        RAW_WINDOW_UPDATE = 8,
        RAW_CONTINUATION = 9,

        RAW_END_STREAM = 1,
        RAW_ACK = 1,
        RAW_END_HEADERS = 4,
};

/* The client. */
typedef struct RawClient {
        int fd; /* owned; non-blocking */
        Buf input;
        size_t n_taken;                       /* of its front: the frame that was taken last */
        Buf headers;                          /* of the last HEADERS: "name: value\n" each */
        struct nghttp2_hd_inflater *inflater; /* owned */
} RawClient;

/* A frame that was received. */
typedef struct RawFrame {
        uint8_t type, flags;
        uint32_t stream;
        const uint8_t *bytes; /* valid until the next is taken */
        size_t n_bytes;
} RawFrame;

/* Make one. Returns the server's descriptor. */
int raw_client_open(RawClient *client);

/* Make one of a connected, non-blocking socket, which it owns from then on. */
void raw_client_take(RawClient *client, int fd);
void raw_client_done(RawClient *client);

/* Send; fails the test when the socket does not take it. */
void raw_send(RawClient *client, const void *bytes, size_t n_bytes);

/* Send as much as the socket takes; returns how many bytes. */
size_t raw_try(RawClient *client, const void *bytes, size_t n_bytes);

/* The connection's preface and empty SETTINGS. */
void raw_hello(RawClient *client);
void raw_frame(RawClient *client, uint8_t type, uint8_t flags, uint32_t stream, const void *bytes,
               size_t n_bytes);

/* A header in HPACK without tables (RFC 7541, 6.2.2); values up to 126 bytes are given whole. */
void raw_header(Buf *block, const char *name, const char *value);

/* The headers of a call; `extra` may be NULL, or name, value, ..., NULL, and may replace any. */
void raw_request(RawClient *client, uint32_t stream, uint8_t flags, const char *path,
                 const char *const *extra);

/* The same with further headers in frames of their own (CONTINUATION), and nothing to follow. */
void raw_request_continued(RawClient *client, uint32_t stream, const char *path, const void *more,
                           size_t n_more);

/* A message in a frame of its own. */
void raw_message(RawClient *client, uint32_t stream, uint8_t flags, const char *text);

/* Take the next frame that has arrived as a whole. */
bool raw_receive(RawClient *client, RawFrame *ret_frame);

/* Had the last HEADERS that were received this header? */
bool raw_has_header(RawClient *client, const char *name, const char *value);

/* Has the server closed its side, and is nothing left to read? */
bool raw_is_closed(RawClient *client);

/* The same without reading: has the server closed its side? */
bool raw_is_cut(const RawClient *client);
