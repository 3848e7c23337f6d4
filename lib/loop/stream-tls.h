/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The stream over TLS 1.2 or later. To a client, the server always has to prove who it is, by a
 * certificate for the very host name or address that was asked for; to a server, its clients have to
 * if it is told who may vouch for them.
 *
 * The TLS library is in a module that is loaded with the first such stream.
 */

#include "lib/base/diag.h"
#include "lib/loop/stream.h"

/* How to do TLS. Borrowed for the call; files are read anew for every stream. */
typedef struct StreamTls {
        const char *module;  /* path of the module; NULL = the one that was installed */
        const char *ca_path; /* PEM, who may vouch for the server; NULL = whom the system trusts */
        const char *cert_path; /* PEM, our certificate and those between it and its CA; or NULL */
        const char *key_path;  /* PEM, its key; NULL exactly if `cert_path` is */
        const char *protocol;  /* what is spoken over it (ALPN) */
} StreamTls;

/* How to do TLS as a server: TLS 1.2 or later. */
typedef struct StreamTlsServer {
        const char *module;         /* as above */
        const char *cert_path;      /* PEM, our certificate and those between it and its CA */
        const char *key_path;       /* PEM, its key */
        const char *client_ca_path; /* PEM, who may vouch for clients, which then have to show a
                                       certificate; NULL = anybody may come */
        const char *protocol;       /* what is spoken over it (ALPN) */
} StreamTlsServer;

/* Connect to a TCP port and do the handshake; `timeout_us` bounds all of it. STREAM_CONNECTED
 * comes when the server has proven itself. Whatever goes wrong on the way there, a missing file
 * or module included, is a STREAM_CLOSED, and stream_explanation() says what. Returns 0 or
 * -ENOMEM, -EINVAL (port). */
int stream_connect_tls(Stream **ret_stream, Loop *loop, const char *host, uint16_t port,
                       const StreamTls *options, uint64_t timeout_us, StreamFn fn, void *userdata);

/* Do the handshake as a server, on a connected socket, within `timeout_us`; takes the descriptor,
 * also on error. STREAM_CONNECTED comes when the client has proven itself, or need not. Whatever goes
 * wrong is a STREAM_CLOSED, and stream_explanation() says what. Returns 0 or a negative errno. */
int stream_accept_tls(Stream **ret_stream, Loop *loop, int fd, const StreamTlsServer *options,
                      uint64_t timeout_us, StreamFn fn, void *userdata);

/* Can these be used, as the files are now? Returns 0, or a negative errno with a message. */
int stream_tls_server_check(const StreamTlsServer *options, Diag *diag);
