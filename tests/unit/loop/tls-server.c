/* SPDX-License-Identifier: Apache-2.0 */

/* The server blocks in OpenSSL, as simple as can be, and says by its exit status what it saw. */

#include "tests/unit/loop/tls-server.h"

#include <arpa/inet.h>
#include <check.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SAW_END = 0, SAW_NO_END = 3, CANNOT_SERVE = 4 };

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *n_out,
                   const unsigned char *in, unsigned n_in, void *userdata) {
        static const unsigned char h2[] = { 2, 'h', '2' };
        unsigned char *selected;

        (void)ssl;
        (void)userdata;
        if (SSL_select_next_proto(&selected, n_out, h2, sizeof(h2), in, n_in) !=
            OPENSSL_NPN_NEGOTIATED)
                return SSL_TLSEXT_ERR_ALERT_FATAL;
        *out = selected;
        return SSL_TLSEXT_ERR_OK;
}

static SSL *make_ssl(TlsServerKind kind, const char *folder, const char *certificate) {
        SSL_CTX *context = SSL_CTX_new(TLS_server_method());
        char cert[256], key[256], ca[256];

        (void)snprintf(cert, sizeof(cert), "%s/%s.pem", folder, certificate);
        (void)snprintf(key, sizeof(key), "%s/%s.key", folder, certificate);
        (void)snprintf(ca, sizeof(ca), "%s/ca.pem", folder);
        if (!context || SSL_CTX_use_certificate_chain_file(context, cert) != 1 ||
            SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1 ||
            SSL_CTX_load_verify_file(context, ca) != 1)
                _exit(CANNOT_SERVE);

        if (kind != TLS_SERVER_NO_ALPN)
                SSL_CTX_set_alpn_select_cb(context, on_alpn, NULL);
        if (kind == TLS_SERVER_WANTS_CLIENT)
                SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                                   NULL);
        if (kind == TLS_SERVER_TLS_1_2 || kind == TLS_SERVER_NAGS)
                (void)SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
        if (kind == TLS_SERVER_OLD) {
                SSL_CTX_set_security_level(context, 0);
                (void)SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
                (void)SSL_CTX_set_max_proto_version(context, TLS1_1_VERSION);
        }
        return SSL_new(context);
}

static int echo(SSL *ssl, int fd) {
        char buffer[16384];
        int n;

        (void)SSL_set_fd(ssl, fd);
        if (SSL_accept(ssl) != 1)
                return SAW_NO_END;
        while ((n = SSL_read(ssl, buffer, sizeof(buffer))) > 0)
                if (SSL_write(ssl, buffer, n) != n)
                        return SAW_NO_END;
        return SSL_get_error(ssl, n) == SSL_ERROR_ZERO_RETURN ? SAW_END : SAW_NO_END;
}

/* A socket that is closed with something unread in it makes the peer's next write fail. */
static int leave(SSL *ssl, int fd) {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        (void)SSL_set_fd(ssl, fd);
        (void)SSL_set_num_tickets(ssl, 0);
        if (SSL_accept(ssl) == 1 && poll(&p, 1, -1) == 1)
                (void)SSL_write(ssl, "answer", 6);
        return SAW_NO_END;
}

/* TLS 1.2 answers each HelloRequest, if only that it will not. */
static int nag(SSL *ssl, int fd) {
        (void)SSL_set_fd(ssl, fd);
        if (SSL_accept(ssl) != 1)
                return SAW_NO_END;
        while (SSL_renegotiate(ssl) == 1 && SSL_do_handshake(ssl) == 1)
                ;
        return SAW_NO_END;
}

static int serve(TlsServerKind kind, int listener, const char *folder, const char *certificate) {
        static const char text[] = "HTTP/1.0 400 Bad Request\r\n\r\n";
        SSL *ssl = make_ssl(kind, folder, certificate);
        int fd = accept(listener, NULL, NULL);
        char byte;

        if (fd < 0 || !ssl)
                return CANNOT_SERVE;

        switch (kind) {
        case TLS_SERVER_TEXT:
                (void)!read(fd, &byte, 1);
                (void)!write(fd, text, sizeof(text) - 1);
                return SAW_NO_END;
        case TLS_SERVER_CLOSES:
                return SAW_NO_END;
        case TLS_SERVER_SILENT:
                (void)pause();
                return SAW_NO_END;
        case TLS_SERVER_NAGS:
                return nag(ssl, fd);
        case TLS_SERVER_LEAVES:
                return leave(ssl, fd);
        default:
                return echo(ssl, fd);
        }
}

TlsServer tls_server_start(TlsServerKind kind, const char *folder, const char *certificate) {
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        socklen_t size = sizeof(address);
        int few = 4096; /* so that what it leaves unread is soon noticed */
        TlsServer server;

        if (kind == TLS_SERVER_NAGS)
                ck_assert_int_eq(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &few, sizeof(few)), 0);
        ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
        ck_assert_int_eq(listen(listener, 1), 0);
        ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
        server.port = ntohs(address.sin_port);
        server.pid = fork();
        ck_assert_int_ge(server.pid, 0);
        if (server.pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                (void)signal(SIGPIPE, SIG_IGN);
                _exit(serve(kind, listener, folder, certificate));
        }
        (void)close(listener);
        return server;
}

bool tls_server_stop(TlsServer *server, bool ends_by_itself) {
        int status = -1;

        if (!ends_by_itself)
                (void)kill(server->pid, SIGKILL);
        ck_assert_int_eq(waitpid(server->pid, &status, 0), server->pid);
        ck_assert(!WIFEXITED(status) || WEXITSTATUS(status) != CANNOT_SERVE);
        return WIFEXITED(status) && WEXITSTATUS(status) == SAW_END;
}
