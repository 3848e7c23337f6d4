/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What stream-tls.c needs of a TLS library. The one engine there is (tls-openssl.c) is a module of
 * its own, loaded where TLS is configured, so that a program that needs none does not carry
 * libssl and libcrypto. An engine does no I/O but reading the files that it is told of; bytes come
 * and go through its caller.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/diag.h"
#include "lib/base/module.h"

/* The symbol of a module that holds its TlsEngine. */
#define TLS_ENGINE_SYMBOL "fleet_tls_engine"

/* One connection's TLS. */
typedef struct TlsSession TlsSession;

/* What a session is to prove, and to have proven. Borrowed for the call. */
typedef struct TlsIdentity {
        const char *ca_path;   /* PEM; NULL = the system's certificate authorities; of a server:
                                  NULL = clients need not prove anything */
        const char *cert_path; /* PEM, our certificate and its chain; NULL = none (a client) */
        const char *key_path;  /* PEM, its key; NULL = none */
        const char *name;      /* host name or address that the server's certificate must name;
                                  NULL = we are the server */
        const char *protocol;  /* to agree on by ALPN */
} TlsIdentity;

/* Where what is to be sent goes: takes all of it, or returns a negative errno. */
typedef struct TlsSink {
        int (*send)(const void *bytes, size_t n_bytes, void *userdata);
        void *userdata;
} TlsSink;

/* Bytes that were received; the engine advances it over what it takes. */
typedef struct TlsInput {
        const uint8_t *bytes;
        size_t n_bytes;
} TlsInput;

/* The operations. A message in `diag` is a sentence's worth of words for a person, and is set
 * whenever -EPROTO or a file's error is returned. After any error only close() may be called. */
typedef struct TlsEngine {
        ModuleHead head; /* first: see module_load() */

        /* Make a session; the files are read anew each time. Returns 0, -ENOMEM, or a
         * negative errno with a message that names the file. */
        int (*open)(TlsSession **ret_session, const TlsIdentity *identity, const TlsSink *sink,
                    Diag *diag);

        /* Go on with the handshake. Returns 1 when it is done and the peer has proven itself, 0
         * while more input is needed, -ENOMEM, or -EPROTO. */
        int (*handshake)(TlsSession *session, TlsInput *input, Diag *diag);

        /* Decrypt. Returns how many bytes were put into `buffer`; 0 when all input is taken and
         * more is needed; -ENODATA when the peer has ended its side; -ENOMEM; -EPROTO. */
        ssize_t (*read)(TlsSession *session, TlsInput *input, void *buffer, size_t n_bytes,
                        Diag *diag);

        /* Encrypt and send all of it. Returns 0, -ENOMEM, -EPROTO. */
        int (*write)(TlsSession *session, const void *bytes, size_t n_bytes, Diag *diag);

        /* Tell the peer that nothing follows, if it may still be told, and free. */
        void (*close)(TlsSession *session);
} TlsEngine;
