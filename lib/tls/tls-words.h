/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a person is told when TLS fails. OpenSSL's own texts are not loaded: they take memory, and
 * name what happened inside the library rather than what is wrong. */

#include <openssl/ssl.h>
#include <stdbool.h>

#include "lib/base/diag.h"

/* What the words are about. Borrowed. */
typedef struct TlsSubject {
        const char *name;      /* that the server's certificate must name; NULL = we are it */
        const char *ca_path;   /* or NULL: the system's authorities */
        const char *cert_path; /* or NULL: we have no certificate */
        X509 *certificate;     /* ours, or NULL */
        bool was_proven;       /* the peer has proven itself before this */
} TlsSubject;

/* The peer's certificate was refused: what the verification, which stands at the offending
 * certificate, found. */
void tls_say_refused(X509_STORE_CTX *verification, const TlsSubject *subject, Diag *diag);

/* The handshake or the connection failed with this error of OpenSSL's (ERR_peek_error()). */
void tls_say_error(unsigned long error, const TlsSubject *subject, Diag *diag);
