/* SPDX-License-Identifier: Apache-2.0 */

/* The TLS engine over OpenSSL: the only entry of the module fleet-tls.so.
 *
 * Bytes come and go through a BIO of our own that reads from the input at hand and hands what is to
 * be sent to the sink, so nothing is kept twice. Every session reads its files anew, which is what
 * makes a rotated certificate count, and has a context of its own.
 *
 * Memory: what only the handshake needs is dropped when it is done (the trusted certificates, our
 * key), buffers are released while nothing is in them, and sessions are neither cached nor resumed.
 * OpenSSL's error texts (thousands) and its configuration file are not loaded; so the security
 * level, which Debian sets in that file, is set here.
 */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/macro.h"
#include "lib/loop/tls-engine.h"
#include "lib/tls/tls-files.h"
#include "lib/tls/tls-words.h"

enum { SECURITY_LEVEL = 2 /* keys as good as 112 bits, i.e. RSA from 2048 */ };

struct TlsSession {
        SSL *ssl; /* owned */
        TlsSink sink;
        TlsInput *input; /* borrowed while a call runs, else NULL */
        bool is_proven;  /* the handshake is done */
        bool is_broken;  /* nothing may be sent any more */
        char *name;      /* owned, as are the next two; for messages; NULL = we are the server */
        char *ca_path;   /* or NULL */
        char *cert_path; /* or NULL */
        X509 *own;       /* owned; or NULL */
        char *protocol;  /* owned */
        Diag refusal;    /* why the peer's certificate was refused */
};

static BIO_METHOD *bio_method; /* made once */

/* The BIO */

static int bio_read(BIO *bio, char *buffer, size_t n_bytes, size_t *ret_n_read) {
        TlsSession *session = BIO_get_data(bio);
        TlsInput *input = session->input;

        BIO_clear_retry_flags(bio);
        if (!input || input->n_bytes == 0) {
                BIO_set_retry_read(bio);
                *ret_n_read = 0;
                return 0;
        }

        if (n_bytes > input->n_bytes)
                n_bytes = input->n_bytes;
        memcpy(buffer, input->bytes, n_bytes);
        input->bytes += n_bytes;
        input->n_bytes -= n_bytes;
        *ret_n_read = n_bytes;
        return 1;
}

static int bio_write(BIO *bio, const char *bytes, size_t n_bytes, size_t *ret_n_written) {
        const TlsSession *session = BIO_get_data(bio);

        BIO_clear_retry_flags(bio);
        *ret_n_written = n_bytes;
        return session->sink.send(bytes, n_bytes, session->sink.userdata) == 0;
}

static long bio_control(BIO *bio, int command, long number, void *pointer) {
        (void)bio;
        (void)number;
        (void)pointer;
        return command == BIO_CTRL_FLUSH;
}

static bool engine_set_up(void) {
        if (bio_method)
                return true;

        if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_LOAD_SSL_STRINGS |
                                     OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS | OPENSSL_INIT_NO_ATEXIT,
                             NULL) != 1)
                return false;
        bio_method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "stream");
        return bio_method && BIO_meth_set_read_ex(bio_method, bio_read) &&
               BIO_meth_set_write_ex(bio_method, bio_write) &&
               BIO_meth_set_ctrl(bio_method, bio_control);
}

/* Making a session */

static int on_verified(int is_good, X509_STORE_CTX *verification) {
        const SSL *ssl = X509_STORE_CTX_get_ex_data(verification,
                                                    SSL_get_ex_data_X509_STORE_CTX_idx());
        TlsSession *session = SSL_get_app_data(ssl);
        const TlsSubject subject = { .name = session->name, .ca_path = session->ca_path };

        if (!is_good && !session->refusal.message[0])
                tls_say_refused(verification, &subject, &session->refusal);
        return is_good;
}

/* A server picks the protocol that it speaks, if the client offers it. */
static int on_offered(SSL *ssl, const unsigned char **ret_protocol, unsigned char *ret_n_bytes,
                      const unsigned char *offered, unsigned n_offered, void *userdata) {
        const TlsSession *session = SSL_get_app_data(ssl);
        size_t n = strlen(session->protocol);

        (void)userdata;
        for (unsigned at = 0; at < n_offered; at += offered[at] + 1U) {
                if (offered[at] != n || at + 1 + n > n_offered ||
                    memcmp(offered + at + 1, session->protocol, n) != 0)
                        continue;
                *ret_protocol = offered + at + 1;
                *ret_n_bytes = offered[at];
                return SSL_TLSEXT_ERR_OK;
        }
        return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Says whom to trust. A server without authorities asks its clients for nothing. */
static int context_set_trust(SSL_CTX *context, const TlsIdentity *identity, Diag *diag) {
        if (!identity->name && !identity->ca_path)
                return 0;

        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, on_verified);
        if (identity->ca_path)
                return tls_trust_file(context, identity->ca_path, diag);
        return SSL_CTX_set_default_verify_paths(context) == 1 ? 0 : -ENOMEM;
}

static int make_context(SSL_CTX **ret_context, const TlsIdentity *identity, Diag *diag) {
        SSL_CTX *context = SSL_CTX_new(identity->name ? TLS_client_method() : TLS_server_method());
        int r;

        if (!context)
                return -ENOMEM;

        (void)SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
        SSL_CTX_set_security_level(context, SECURITY_LEVEL);
        (void)SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                                                   SSL_OP_NO_COMPRESSION);
        (void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
        (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
        (void)SSL_CTX_set_num_tickets(context, 0);
        SSL_CTX_set_alpn_select_cb(context, on_offered, NULL);
        r = context_set_trust(context, identity, diag);
        if (r < 0) {
                SSL_CTX_free(context);
                return r;
        }

        *ret_context = context;
        return 0;
}

static bool expect_name(SSL *ssl, const char *name) {
        X509_VERIFY_PARAM *parameters = SSL_get0_param(ssl);
        struct in6_addr address;

        X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                                            X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
        if (inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1)
                return X509_VERIFY_PARAM_set1_ip_asc(parameters, name) == 1;
        return X509_VERIFY_PARAM_set1_host(parameters, name, 0) == 1 &&
               SSL_set_tlsext_host_name(ssl, name) == 1;
}

static bool offer_protocol(SSL *ssl, const char *protocol) {
        unsigned char list[256];
        size_t n = strlen(protocol);

        assert(n > 0 && n < sizeof(list));

        list[0] = (unsigned char)n;
        memcpy(list + 1, protocol, n);
        return SSL_set_alpn_protos(ssl, list, (unsigned)n + 1) == 0;
}

static int session_wire(TlsSession *session, const TlsIdentity *identity) {
        BIO *bio = BIO_new(bio_method);

        if (!bio)
                return -ENOMEM;

        BIO_set_data(bio, session);
        BIO_set_init(bio, 1);
        SSL_set_bio(session->ssl, bio, bio);
        SSL_set_app_data(session->ssl, session);
        if (!identity->name) {
                SSL_set_accept_state(session->ssl);
                return 0;
        }
        SSL_set_connect_state(session->ssl);
        return expect_name(session->ssl, identity->name) &&
                               offer_protocol(session->ssl, identity->protocol)
                       ? 0
                       : -ENOMEM;
}

static int session_show(TlsSession *session, const TlsIdentity *identity, Diag *diag) {
        int r;

        if (!identity->cert_path)
                return 0;

        r = tls_use_files(session->ssl, identity->cert_path, identity->key_path, diag);
        if (r < 0)
                return r;
        session->own = SSL_get_certificate(session->ssl);
        X509_up_ref(session->own);
        return 0;
}

static int session_note(TlsSession *session, const TlsIdentity *identity) {
        session->name = identity->name ? strdup(identity->name) : NULL;
        session->protocol = strdup(identity->protocol);
        session->ca_path = identity->ca_path ? strdup(identity->ca_path) : NULL;
        session->cert_path = identity->cert_path ? strdup(identity->cert_path) : NULL;
        return session->protocol && (session->name || !identity->name) &&
                               (session->ca_path || !identity->ca_path) &&
                               (session->cert_path || !identity->cert_path)
                       ? 0
                       : -ENOMEM;
}

static int session_make(TlsSession *session, const TlsIdentity *identity, Diag *diag) {
        SSL_CTX *context;
        int r;

        r = session_note(session, identity);
        if (r < 0)
                return r;
        r = make_context(&context, identity, diag);
        if (r < 0)
                return r;

        session->ssl = SSL_new(context);
        SSL_CTX_free(context); /* the connection holds on to it */
        if (!session->ssl)
                return -ENOMEM;

        r = session_wire(session, identity);
        return r < 0 ? r : session_show(session, identity, diag);
}

static void engine_close(TlsSession *session) {
        if (session->ssl && session->is_proven && !session->is_broken)
                (void)SSL_shutdown(session->ssl);
        ERR_clear_error();
        SSL_free(session->ssl);
        X509_free(session->own);
        free(session->name);
        free(session->ca_path);
        free(session->cert_path);
        free(session->protocol);
        free(session);
}

static int engine_open(TlsSession **ret_session, const TlsIdentity *identity, const TlsSink *sink,
                       Diag *diag) {
        TlsSession *session;
        int r;

        if (!engine_set_up())
                return -ENOMEM;
        session = calloc(1, sizeof(*session));
        if (!session)
                return -ENOMEM;

        session->sink = *sink;
        r = session_make(session, identity, diag);
        if (r < 0) {
                engine_close(session);
                return r;
        }

        *ret_session = session;
        return 0;
}

/* Working on it */

/* Says what OpenSSL has queued. Returns -EPROTO. */
static int session_fail(TlsSession *session, Diag *diag) {
        const TlsSubject subject = {
                .name = session->name,
                .ca_path = session->ca_path,
                .cert_path = session->cert_path,
                .certificate = session->own,
                .was_proven = session->is_proven,
        };

        session->is_broken = true;
        if (session->refusal.message[0])
                (void)diag_set(diag, 0, "%s", session->refusal.message);
        else
                tls_say_error(ERR_peek_error(), &subject, diag);
        ERR_clear_error();
        return -EPROTO;
}

/* Drops what only the handshake needs. */
static int session_settle(TlsSession *session) {
        X509_STORE *empty = X509_STORE_new();

        if (!empty)
                return -ENOMEM;

        SSL_CTX_set_cert_store(SSL_get_SSL_CTX(session->ssl), empty);
        SSL_certs_clear(session->ssl);
        session->is_proven = true;
        return 0;
}

static int engine_handshake(TlsSession *session, TlsInput *input, Diag *diag) {
        const unsigned char *protocol;
        unsigned n_protocol;
        int done, r;

        session->input = input;
        ERR_clear_error();
        done = SSL_do_handshake(session->ssl);
        session->input = NULL;
        if (done != 1)
                return SSL_get_error(session->ssl, done) == SSL_ERROR_WANT_READ
                               ? 0
                               : session_fail(session, diag);

        SSL_get0_alpn_selected(session->ssl, &protocol, &n_protocol);
        if (n_protocol == 0)
                return diag_set(diag, -EPROTO,
                                "it does not speak the same protocol over TLS (ALPN)");
        r = session_settle(session);
        return r < 0 ? r : 1;
}

static ssize_t engine_read(TlsSession *session, TlsInput *input, void *buffer, size_t n_bytes,
                           Diag *diag) {
        size_t n_read = 0;
        int done;

        session->input = input;
        ERR_clear_error();
        done = SSL_read_ex(session->ssl, buffer, n_bytes, &n_read);
        session->input = NULL;
        if (done == 1)
                return (ssize_t)n_read;

        switch (SSL_get_error(session->ssl, done)) {
        case SSL_ERROR_WANT_READ:
                return 0;
        case SSL_ERROR_ZERO_RETURN:
                return -ENODATA;
        default:
                return session_fail(session, diag);
        }
}

static int engine_write(TlsSession *session, const void *bytes, size_t n_bytes, Diag *diag) {
        size_t n_written;

        ERR_clear_error();
        return SSL_write_ex(session->ssl, bytes, n_bytes, &n_written) == 1
                       ? 0
                       : session_fail(session, diag);
}

/* What the module exports. */
extern const TlsEngine fleet_tls_engine;

__attribute__((visibility("default"))) const TlsEngine fleet_tls_engine = {
        .head.version = FLEET_VERSION,
        .open = engine_open,
        .handshake = engine_handshake,
        .read = engine_read,
        .write = engine_write,
        .close = engine_close,
};
