/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A server for tests of TLS, in a process of its own that serves one connection and ends. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What it does with the connection. */
typedef enum TlsServerKind {
        TLS_SERVER_ECHO,         /* TLS; sends back what it gets, until the client says the end */
        TLS_SERVER_WANTS_CLIENT, /* that, and wants a certificate from ca.pem */
        TLS_SERVER_OLD,          /* speaks TLS 1.1 at most */
        TLS_SERVER_TLS_1_2,      /* echoes, and speaks TLS 1.2 at most */
        TLS_SERVER_NO_ALPN,      /* echoes, and agrees on no protocol */
        TLS_SERVER_TEXT,         /* answers in plain text */
        TLS_SERVER_CLOSES,       /* closes at once */
        TLS_SERVER_SILENT,       /* takes the connection, and no more */
        TLS_SERVER_NAGS,         /* asks for one handshake after the other, and reads nothing */
        TLS_SERVER_LEAVES,       /* is sent something, says "answer", and is gone unread */
} TlsServerKind;

/* The process. */
typedef struct TlsServer {
        pid_t pid;
        uint16_t port; /* on 127.0.0.1 */
} TlsServer;

/* Start one that shows FOLDER/CERTIFICATE.pem. Fails the test when it cannot. */
TlsServer tls_server_start(TlsServerKind kind, const char *folder, const char *certificate);

/* Wait for its end, or end it if it has none by itself. Returns whether it saw the client say the
 * end (close_notify). */
bool tls_server_stop(TlsServer *server, bool ends_by_itself);
