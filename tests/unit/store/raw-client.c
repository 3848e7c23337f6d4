/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/unit/store/raw-client.h"

#include <check.h>
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FRAME_HEAD_BYTES = 9 };

int raw_client_open(RawClient *client) {
        int fds[2];

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
                         0);
        raw_client_take(client, fds[0]);
        return fds[1];
}

void raw_client_take(RawClient *client, int fd) {
        *client = (RawClient){
                .fd = fd,
                .input = buf_make(SIZE_MAX),
                .headers = buf_make(SIZE_MAX),
        };
        ck_assert_int_eq(nghttp2_hd_inflate_new(&client->inflater), 0);
}

void raw_client_done(RawClient *client) {
        if (client->fd >= 0)
                (void)close(client->fd);
        client->fd = -1;
        buf_done(&client->input);
        buf_done(&client->headers);
        nghttp2_hd_inflate_del(client->inflater);
        client->inflater = NULL;
}

size_t raw_try(RawClient *client, const void *bytes, size_t n_bytes) {
        ssize_t n = send(client->fd, bytes, n_bytes, MSG_NOSIGNAL);

        return n > 0 ? (size_t)n : 0;
}

void raw_send(RawClient *client, const void *bytes, size_t n_bytes) {
        ck_assert_uint_eq(raw_try(client, bytes, n_bytes), n_bytes);
}

void raw_frame(RawClient *client, uint8_t type, uint8_t flags, uint32_t stream, const void *bytes,
               size_t n_bytes) {
        _cleanup_(buf_done) Buf frame = buf_make(SIZE_MAX);
        const uint8_t head[FRAME_HEAD_BYTES] = {
                (uint8_t)(n_bytes >> 16),
                (uint8_t)(n_bytes >> 8),
                (uint8_t)n_bytes,
                type,
                flags,
                (uint8_t)(stream >> 24),
                (uint8_t)(stream >> 16),
                (uint8_t)(stream >> 8),
                (uint8_t)stream,
        };

        ck_assert_int_eq(buf_append(&frame, head, sizeof head), 0);
        ck_assert_int_eq(buf_append(&frame, bytes, n_bytes), 0);
        raw_send(client, frame.data, frame.n_bytes);
}

void raw_hello(RawClient *client) {
        static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

        raw_send(client, preface, sizeof preface - 1);
        raw_frame(client, RAW_SETTINGS, 0, 0, "", 0);
}

static void raw_string(Buf *block, const char *text) {
        uint8_t n = (uint8_t)strlen(text);

        ck_assert_uint_lt(strlen(text), 127);
        ck_assert_int_eq(buf_append(block, &n, 1), 0);
        ck_assert_int_eq(buf_append_string(block, text), 0);
}

void raw_header(Buf *block, const char *name, const char *value) {
        ck_assert_int_eq(buf_append(block, "\0", 1), 0);
        raw_string(block, name);
        raw_string(block, value);
}

/* The value that `extra` has for the header, or the usual one. */
static const char *pick(const char *const *extra, const char *name, const char *usual) {
        for (size_t i = 0; extra && extra[i]; i += 2) {
                if (streq(extra[i], name))
                        return extra[i + 1];
        }
        return usual;
}

static void add_request(Buf *block, const char *path, const char *const *extra) {
        static const char *const usual[] = {
                ":method",      "POST",             //
                ":scheme",      "http",             //
                ":path",        NULL,               //
                ":authority",   "test",             //
                "te",           "trailers",         //
                "content-type", "application/grpc", //
        };

        for (size_t i = 0; i < ELEMENTSOF(usual); i += 2)
                raw_header(block, usual[i],
                           pick(extra, usual[i], usual[i + 1] ? usual[i + 1] : path));
        for (size_t i = 0; extra && extra[i]; i += 2) {
                size_t j = 0;

                while (j < ELEMENTSOF(usual) && !streq(usual[j], extra[i]))
                        j += 2;
                if (j >= ELEMENTSOF(usual))
                        raw_header(block, extra[i], extra[i + 1]);
        }
}

void raw_request(RawClient *client, uint32_t stream, uint8_t flags, const char *path,
                 const char *const *extra) {
        _cleanup_(buf_done) Buf block = buf_make(SIZE_MAX);

        add_request(&block, path, extra);
        raw_frame(client, RAW_HEADERS, flags | RAW_END_HEADERS, stream, block.data, block.n_bytes);
}

void raw_request_continued(RawClient *client, uint32_t stream, const char *path, const void *more,
                           size_t n_more) {
        _cleanup_(buf_done) Buf block = buf_make(SIZE_MAX);
        size_t n_piece = 16000;

        add_request(&block, path, NULL);
        raw_frame(client, RAW_HEADERS, RAW_END_STREAM, stream, block.data, block.n_bytes);
        for (size_t at = 0; at < n_more; at += n_piece) {
                bool is_last = n_more - at <= n_piece;

                raw_frame(client, RAW_CONTINUATION, is_last ? RAW_END_HEADERS : 0, stream,
                          (const uint8_t *)more + at, is_last ? n_more - at : n_piece);
        }
}

void raw_message(RawClient *client, uint32_t stream, uint8_t flags, const char *text) {
        _cleanup_(buf_done) Buf bytes = buf_make(SIZE_MAX);
        const uint8_t head[] = { 0, 0, 0, 0, (uint8_t)strlen(text) };

        ck_assert_int_eq(buf_append(&bytes, head, sizeof head), 0);
        ck_assert_int_eq(buf_append_string(&bytes, text), 0);
        raw_frame(client, RAW_DATA, flags, stream, bytes.data, bytes.n_bytes);
}

static void raw_read(RawClient *client) {
        char bytes[4096];
        ssize_t n;

        while ((n = recv(client->fd, bytes, sizeof bytes, 0)) > 0)
                ck_assert_int_eq(buf_append(&client->input, bytes, (size_t)n), 0);
}

static void raw_read_headers(RawClient *client, const RawFrame *frame) {
        const uint8_t *bytes = frame->bytes;
        size_t n_left = frame->n_bytes;
        int flags = 0;

        buf_clear(&client->headers);
        while (!(flags & NGHTTP2_HD_INFLATE_FINAL)) {
                nghttp2_nv nv;
                ssize_t n;

                flags = 0;
                n = nghttp2_hd_inflate_hd2(client->inflater, &nv, &flags, bytes, n_left, 1);
                ck_assert_int_ge(n, 0);
                bytes += n;
                n_left -= (size_t)n;
                if (flags & NGHTTP2_HD_INFLATE_EMIT)
                        ck_assert_int_eq(
                                buf_printf(&client->headers, "\n%s: %s\n", nv.name, nv.value), 0);
        }
        nghttp2_hd_inflate_end_headers(client->inflater);
}

bool raw_has_header(RawClient *client, const char *name, const char *value) {
        char wanted[256];

        (void)snprintf(wanted, sizeof wanted, "\n%s: %s\n", name, value);
        return client->headers.n_bytes > 0 && strstr(client->headers.data, wanted);
}

bool raw_receive(RawClient *client, RawFrame *ret_frame) {
        const uint8_t *head;
        size_t n;

        raw_read(client);
        if (client->n_taken > 0) {
                client->input.n_bytes -= client->n_taken;
                memmove(client->input.data, client->input.data + client->n_taken,
                        client->input.n_bytes);
                client->n_taken = 0;
        }
        if (client->input.n_bytes < FRAME_HEAD_BYTES)
                return false;

        head = (const uint8_t *)client->input.data;
        n = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
        if (client->input.n_bytes < FRAME_HEAD_BYTES + n)
                return false;

        client->n_taken = FRAME_HEAD_BYTES + n;
        *ret_frame = (RawFrame){
                .type = head[3],
                .flags = head[4],
                .stream = (uint32_t)head[5] << 24 | (uint32_t)head[6] << 16 |
                          (uint32_t)head[7] << 8 | head[8],
                .bytes = head + FRAME_HEAD_BYTES,
                .n_bytes = n,
        };
        if (ret_frame->type == RAW_HEADERS)
                raw_read_headers(client, ret_frame);
        return true;
}

bool raw_is_closed(RawClient *client) {
        char byte;

        raw_read(client);
        return recv(client->fd, &byte, 1, MSG_PEEK) == 0 || errno == ECONNRESET;
}

bool raw_is_cut(const RawClient *client) {
        struct pollfd p = { .fd = client->fd };

        return poll(&p, 1, 0) == 1 && p.revents & POLLHUP;
}
