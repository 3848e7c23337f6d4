/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/loop/stream-tls.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "tests/unit/fault.h"
#include "tests/unit/loop/certificates.h"
#include "tests/unit/loop/tls-server.h"

enum {
        LIMIT_US = 10 * US_PER_S, /* how long anything may take */
        LOOK_US = 50 * US_PER_MS,
        LARGE_BYTES = 4 * 1024 * 1024,
};

static const char *folder;

static const TestCertificate certificates[] = {
        { { "authority", "ca" } },
        { { "authority", "other" } },
        { { "server", "good", "ca", "IP:127.0.0.1,DNS:localhost" } },
        { { "server", "expired", "ca", "IP:127.0.0.1", "20200101000000Z", "20200201000000Z" } },
        { { "server", "early", "ca", "IP:127.0.0.1", "20450101000000Z", "20460101000000Z" } },
        { { "server", "elsewhere", "ca", "IP:10.0.0.9,DNS:*.example" } },
        { { "server", "nameless", "ca", "URI:urn:nobody" } },
        { { "server", "misshapen", "ca", "DER:30:03:87:01:7F" } }, /* an address of one byte */
        { { "server", "unknown", "other", "IP:127.0.0.1" } },
        { { "client", "client", "ca", "fleet" } },
        { { "client", "late", "ca", "fleet", "20200101000000Z", "20200201000000Z" } },
        { { "client", "strange", "other", "fleet" } },
};

/* A client: a stream, what it told as letters, and what it received. */
typedef struct Client {
        Stream *stream;
        Loop *loop;
        TlsServer server;
        char text[8]; /* each letter once */
        Buf input;
        char frees_on; /* free the stream when this letter is told */
        bool replies;  /* say something whenever something comes */
} Client;

static void on_stream(Stream *stream, StreamEvent event, void *userdata) {
        static const char letters[] = {
                [STREAM_CONNECTED] = 'C',
                [STREAM_READABLE] = 'R',
                [STREAM_WRITABLE] = 'W',
                [STREAM_CLOSED] = 'E',
        };
        Client *client = userdata;
        size_t n = strlen(client->text);
        const uint8_t *bytes;

        ck_assert_ptr_eq(stream, client->stream);
        ck_assert_ptr_null(strchr(client->text, 'E'));
        if (!strchr(client->text, letters[event]))
                client->text[n] = letters[event];
        if (event == STREAM_READABLE) {
                n = stream_input(stream, &bytes);
                ck_assert_uint_gt(n, 0);
                ck_assert_int_eq(buf_append(&client->input, bytes, n), 0);
                stream_consume(stream, n);
                if (client->replies)
                        (void)stream_write(stream, "and you", 7);
        }
        if (letters[event] == client->frees_on)
                client->stream = stream_free(client->stream);
}

/* What a client is told to use: names of files in the folder; NULL = none. */
typedef struct Use {
        const char *ca, *cert, *key, *host;
} Use;

static const char *in_folder(char buffer[static 128], const char *name) {
        (void)snprintf(buffer, 128, "%s%s%s", *name == '/' ? "" : folder, *name == '/' ? "" : "/",
                       name);
        return buffer;
}

static void client_start(Client *client, TlsServerKind kind, const char *certificate,
                         const Use *use, uint64_t timeout_us) {
        char ca[128], cert[128], key[128];
        const StreamTls tls = {
                .module = TLS_MODULE,
                .ca_path = use->ca ? in_folder(ca, use->ca) : NULL,
                .cert_path = use->cert ? in_folder(cert, use->cert) : NULL,
                .key_path = use->key ? in_folder(key, use->key) : NULL,
                .protocol = "h2",
        };

        *client = (Client){ .input = buf_make(LARGE_BYTES) };
        client->server = tls_server_start(kind, folder, certificate);
        ck_assert_int_eq(loop_new(&client->loop, env_system()), 0);
        ck_assert_int_eq(stream_connect_tls(
                                 &client->stream, client->loop, use->host ? use->host : "127.0.0.1",
                                 client->server.port, &tls, timeout_us, on_stream, client),
                         0);
        ck_assert_str_eq(client->text, "");
}

static void client_done(Client *client) {
        client->stream = stream_free(client->stream);
        client->loop = loop_free(client->loop);
        buf_done(&client->input);
}

static void await_letter(Client *client, char letter) {
        uint64_t limit_us = loop_now_us(client->loop) + LIMIT_US;

        while (!strchr(client->text, letter)) {
                ck_assert_msg(loop_now_us(client->loop) < limit_us, "waited for %c, was told %s",
                              letter, client->text);
                ck_assert_int_eq(loop_turn(client->loop, LOOK_US), 0);
        }
}

static void await_bytes(Client *client, size_t n_bytes) {
        uint64_t limit_us = loop_now_us(client->loop) + LIMIT_US;

        while (client->input.n_bytes < n_bytes) {
                ck_assert_msg(loop_now_us(client->loop) < limit_us, "only %zu of %zu bytes came",
                              client->input.n_bytes, n_bytes);
                ck_assert_int_eq(loop_turn(client->loop, LOOK_US), 0);
        }
}

/* Compares what is said of the end, with the folder cut out of it. */
static void assert_explained(const Client *client, const char *words) {
        const char *from = stream_explanation(client->stream);
        char text[512] = "", *to = text;

        ck_assert_ptr_nonnull(from);
        while (*from) {
                if (strncmp(from, folder, strlen(folder)) == 0)
                        from += strlen(folder) + 1;
                *to++ = *from++;
        }
        ck_assert_str_eq(text, words);
}

/* A module that is missing, holds no engine, or is of another version becomes the stream's end, in
 * words. The right one stays once it is loaded, so this test is the first. */
START_TEST(test_wrong_modules) {
        static const struct {
                const char *path, *words;
        } rows[] = {
                { "/nonexistent/fleet-tls.so", "cannot load the module for TLS: /nonexistent/" },
                { "libm.so.6", "the module for TLS libm.so.6 is of version unknown" },
                { WRONG_MODULE, "is of version 0.0.0, and this program of version " FLEET_VERSION
                                ": install both from the same package" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const StreamTls tls = { .module = rows[i].path, .protocol = "h2" };
                Client client = { 0 };

                ck_assert_int_eq(loop_new(&client.loop, env_system()), 0);
                ck_assert_int_eq(stream_connect_tls(&client.stream, client.loop, "127.0.0.1", 1,
                                                    &tls, LIMIT_US, on_stream, &client),
                                 0);
                ck_assert_str_eq(client.text, "");
                ck_assert_int_eq(stream_write(client.stream, "x", 1), -ENOTCONN);
                await_letter(&client, 'E');
                ck_assert_str_eq(client.text, "E");
                ck_assert_int_lt(stream_error(client.stream), 0);
                ck_assert_ptr_nonnull(strstr(stream_explanation(client.stream), rows[i].words));
                client_done(&client);
        }
}
END_TEST

/* Bytes go both ways unharmed, over TLS 1.3 and 1.2, by address and by name, many small writes and
 * large ones; the server is told when nothing follows. */
START_TEST(test_both_ways) {
        static const TlsServerKind kinds[] = { TLS_SERVER_ECHO, TLS_SERVER_TLS_1_2,
                                               TLS_SERVER_WANTS_CLIENT };
        const Use use = { .ca = "ca.pem",
                          .cert = "client.pem",
                          .key = "client.key",
                          .host = _i == 1 ? "localhost" : NULL };
        char *bytes = malloc(LARGE_BYTES);
        Client client;

        for (size_t i = 0; i < LARGE_BYTES; i++)
                bytes[i] = (char)(i * 31 + i / 251);
        client_start(&client, kinds[_i], "good", &use, LIMIT_US);
        ck_assert_int_eq(stream_write(client.stream, bytes, 3), 0); /* before it is connected */
        await_letter(&client, 'C');
        for (size_t i = 3; i < 1000; i++)
                ck_assert_int_eq(stream_write(client.stream, bytes + i, 1), 0);
        for (size_t i = 1000; i < LARGE_BYTES;) {
                size_t n = LARGE_BYTES - i < 100000 ? LARGE_BYTES - i : 100000;

                ck_assert_int_eq(stream_write(client.stream, bytes + i, n), 0);
                i += n;
                await_bytes(&client,
                            i > 1000000 ? i - 1000000 : 0); /* the echo has small buffers */
        }
        await_bytes(&client, LARGE_BYTES);
        ck_assert_int_eq(memcmp(client.input.data, bytes, LARGE_BYTES), 0);
        await_letter(&client, 'W');
        ck_assert_uint_eq(stream_queued_bytes(client.stream), 0);

        client_done(&client);
        ck_assert(tls_server_stop(&client.server, true));
        free(bytes);
}
END_TEST

/* What goes wrong, and what is said of it. */
static const struct {
        TlsServerKind kind;
        const char *certificate;
        Use use;
        const char *words; /* without the folder */
} failures[] = {
        { TLS_SERVER_ECHO,
          "expired",
          { "ca.pem" },
          "its certificate has expired, on Feb  1 00:00:00 2020 GMT" },
        { TLS_SERVER_ECHO,
          "early",
          { "ca.pem" },
          "its certificate is not valid yet, only from Jan  1 00:00:00 2045 GMT; is this "
          "machine's clock right?" },
        { TLS_SERVER_ECHO,
          "elsewhere",
          { "ca.pem" },
          "its certificate is for 10.0.0.9, *.example, not for 127.0.0.1" },
        { TLS_SERVER_ECHO,
          "elsewhere",
          { "ca.pem", .host = "localhost" },
          "its certificate is for 10.0.0.9, *.example, not for localhost" },
        { TLS_SERVER_ECHO,
          "client",
          { "ca.pem" },
          "its certificate is not for servers (extendedKeyUsage=serverAuth)" },
        { TLS_SERVER_ECHO,
          "nameless",
          { "ca.pem" },
          "its certificate names no host or address as a subject alternative name; it must "
          "name 127.0.0.1" },
        { TLS_SERVER_ECHO,
          "misshapen",
          { "ca.pem" },
          "its certificate names no host or address as a subject alternative name; it must "
          "name 127.0.0.1" },
        { TLS_SERVER_ECHO,
          "unknown",
          { "ca.pem" },
          "its certificate comes from \"other\", which is no authority of the CA file "
          "ca.pem" },
        { TLS_SERVER_ECHO,
          "good",
          { NULL },
          "its certificate comes from \"ca\", which this system does not trust; a CA file "
          "says whom to trust" },
        { TLS_SERVER_OLD, "good", { "ca.pem" }, "it does not speak TLS 1.2 or later" },
        { TLS_SERVER_NO_ALPN,
          "good",
          { "ca.pem" },
          "it does not speak the same protocol over TLS (ALPN)" },
        { TLS_SERVER_TEXT,
          "good",
          { "ca.pem" },
          "it answers, but not in TLS; is it http:// in place of https://?" },
        { TLS_SERVER_CLOSES,
          "good",
          { "ca.pem" },
          "it ended the connection when TLS was to begin; is it http:// in place of "
          "https://?" },
        { TLS_SERVER_ECHO,
          "good",
          { "none.pem" },
          "cannot read the CA file none.pem: No such file or directory" },
        { TLS_SERVER_ECHO,
          "good",
          { "/etc/passwd" },
          "the CA file /etc/passwd holds no certificate in PEM form" },
        { TLS_SERVER_ECHO, "good", { "/dev/null" }, "the CA file /dev/null is no regular file" },
        { TLS_SERVER_ECHO,
          "good",
          { "broken.pem" },
          "the CA file broken.pem is damaged, or holds no certificate" },
        { TLS_SERVER_ECHO,
          "good",
          { "empty.pem" },
          "the CA file empty.pem holds no certificate in PEM form" },
        { TLS_SERVER_ECHO, "good", { "large.pem" }, "the CA file large.pem is larger than 1 MiB" },
        { TLS_SERVER_ECHO,
          "good",
          { "ca.pem", "none.pem", "client.key" },
          "cannot read the certificate file none.pem: No such file or directory" },
        { TLS_SERVER_ECHO,
          "good",
          { "ca.pem", "client.pem", "none.key" },
          "cannot read the key file none.key: No such file or directory" },
        { TLS_SERVER_ECHO,
          "good",
          { "ca.pem", "client.pem", "ca.pem" },
          "the key file ca.pem holds no private key in PEM form" },
        { TLS_SERVER_ECHO,
          "good",
          { "ca.pem", "client.pem", "late.key" },
          "the key in late.key does not belong to the certificate: one of the two files "
          "is another's" },
};

/* Each way to fail has words of its own, and never gets to "connected". (TLS 1.3 refuses a client
 * only after that.) */
START_TEST(test_failures) {
        Client client;

        client_start(&client, failures[_i].kind, failures[_i].certificate, &failures[_i].use,
                     LIMIT_US);
        await_letter(&client, 'E');
        ck_assert_str_eq(client.text, "E");
        ck_assert_int_lt(stream_error(client.stream), 0);
        assert_explained(&client, failures[_i].words);
        ck_assert_int_eq(stream_write(client.stream, "x", 1), -ENOTCONN);
        client_done(&client);
        (void)tls_server_stop(&client.server, false);
}
END_TEST

/* A server that wants a client certificate, and gets none or a wrong one. */
START_TEST(test_client_refused) {
        static const struct {
                const char *cert, *key, *words;
        } rows[] = {
                { NULL, NULL, "it wants a client certificate, and none is configured" },
                { "strange.pem", "strange.key",
                  "it refuses the client certificate strange.pem: it does not trust the CA that "
                  "it is from" },
                { "late.pem", "late.key",
                  "it refuses the client certificate late.pem, which has expired, on Feb  1 "
                  "00:00:00 2020 GMT" },
        };
        const Use use = { .ca = "ca.pem", .cert = rows[_i].cert, .key = rows[_i].key };
        Client client;

        client_start(&client, TLS_SERVER_WANTS_CLIENT, "good", &use, LIMIT_US);
        await_letter(&client, 'E');
        ck_assert_int_lt(stream_error(client.stream), 0);
        assert_explained(&client, rows[_i].words);
        client_done(&client);
        (void)tls_server_stop(&client.server, true);
}
END_TEST

/* Out of descriptors the files cannot be read: that is said, and the next connection has luck. */
START_TEST(test_out_of_descriptors) {
        const Use use = { .ca = "ca.pem" };
        struct rlimit limit, none;
        Client client;

        client_start(&client, TLS_SERVER_ECHO, "good", &use, LIMIT_US);
        client_done(&client);
        (void)tls_server_stop(&client.server, false);

        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        none = limit;
        none.rlim_cur = 0;
        client = (Client){ .input = buf_make(LARGE_BYTES) };
        ck_assert_int_eq(loop_new(&client.loop, env_system()), 0);
        for (int i = 0; i < 2; i++) {
                char ca[128];
                const StreamTls tls = { .module = TLS_MODULE,
                                        .ca_path = in_folder(ca, use.ca),
                                        .protocol = "h2" };

                client.text[0] = '\0';
                ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
                ck_assert_int_eq(stream_connect_tls(&client.stream, client.loop, "127.0.0.1", 1,
                                                    &tls, LIMIT_US, on_stream, &client),
                                 0);
                await_letter(&client, 'E');
                ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
                assert_explained(&client, "cannot read the CA file ca.pem: Too many open files");
                client.stream = stream_free(client.stream);
        }
        client_done(&client);

        client_start(&client, TLS_SERVER_ECHO, "good", &use, LIMIT_US);
        await_letter(&client, 'C');
        client_done(&client);
        (void)tls_server_stop(&client.server, true);
}
END_TEST

/* A server that takes the connection and says nothing is given up in time. */
START_TEST(test_silent_server) {
        const Use use = { .ca = "ca.pem" };
        Client client;

        client_start(&client, TLS_SERVER_SILENT, "good", &use, 100 * US_PER_MS);
        await_letter(&client, 'E');
        ck_assert_str_eq(client.text, "E");
        ck_assert_int_eq(stream_error(client.stream), -ETIMEDOUT);
        ck_assert_str_eq(stream_explanation(client.stream),
                         "it takes the connection, but does not answer to TLS in time");
        client_done(&client);
        (void)tls_server_stop(&client.server, false);
}
END_TEST

/* A server that has TLS answer it, and does not take the answers, is left before they fill the
 * memory. */
START_TEST(test_answers_not_taken) {
        const Use use = { .ca = "ca.pem" };
        Client client;

        client_start(&client, TLS_SERVER_NAGS, "good", &use, LIMIT_US);
        while (!strchr(client.text, 'E')) {
                ck_assert_int_eq(loop_turn(client.loop, LOOK_US), 0);
                ck_assert_uint_lt(stream_queued_bytes(client.stream), 1000000);
        }
        ck_assert_int_eq(stream_error(client.stream), -EPROTO);
        ck_assert_str_eq(stream_explanation(client.stream),
                         "it does not take what TLS answers to it");
        client_done(&client);
        (void)tls_server_stop(&client.server, false);
}
END_TEST

/* The server's last words come although we were still talking, and the end is the connection's. */
START_TEST(test_input_before_a_broken_end) {
        const Use use = { .ca = "ca.pem" };
        Client client;

        client_start(&client, TLS_SERVER_LEAVES, "good", &use, LIMIT_US);
        client.replies = true;
        await_letter(&client, 'C');
        ck_assert_int_eq(stream_write(client.stream, "hello", 5), 0);
        ck_assert_int_eq(loop_turn(client.loop, 0), 0);
        (void)tls_server_stop(&client.server, true);
        ck_assert_int_eq(stream_write(client.stream, "hello", 5), 0);
        await_letter(&client, 'E');
        ck_assert_str_eq(client.input.data, "answer");
        ck_assert(stream_error(client.stream) == -ECONNRESET ||
                  stream_error(client.stream) == -EPIPE);
        ck_assert_int_eq(stream_write(client.stream, "hello", 5), -ENOTCONN);
        client_done(&client);
}
END_TEST

/* The owner may free the stream in any callback, and before any. */
START_TEST(test_freed_in_callback) {
        static const char letters[] = { 'C', 'R', 'W', 'E', '\0' };
        const Use use = { .ca = "ca.pem" };
        Client client;

        client_start(&client, TLS_SERVER_ECHO, letters[_i] == 'E' ? "expired" : "good", &use,
                     LIMIT_US);
        client.frees_on = letters[_i];
        if (letters[_i]) {
                ck_assert_int_eq(stream_write(client.stream, "hello", 5), 0);
                await_letter(&client, letters[_i]);
                ck_assert_ptr_null(client.stream);
        }
        client_done(&client);
        (void)tls_server_stop(&client.server, false);
}
END_TEST

/* What cannot be a port is refused at once. */
START_TEST(test_bad_port) {
        const StreamTls tls = { .module = TLS_MODULE, .protocol = "h2" };
        Stream *stream = NULL;
        Client client = { 0 };

        ck_assert_int_eq(loop_new(&client.loop, env_system()), 0);
        ck_assert_int_eq(stream_connect_tls(&stream, client.loop, "h", 0, &tls, 1, on_stream, NULL),
                         -EINVAL);
        ck_assert_ptr_null(stream);
        client_done(&client);
}
END_TEST

static int make_and_free(void *context) {
        const StreamTls tls = { .module = TLS_MODULE, .protocol = "h2" };
        Stream *stream = NULL;
        int r = stream_connect_tls(&stream, context, "127.0.0.1", 1, &tls, LIMIT_US, on_stream,
                                   NULL);

        fault_assert(!!stream == (r == 0));
        (void)stream_free(stream);
        return r;
}

/* Without memory, a stream is not made. */
START_TEST(test_survives_oom) {
        Loop *loop = NULL;

        ck_assert_int_eq(loop_new(&loop, env_system()), 0);
        ck_assert_uint_ge(fault_sweep(make_and_free, loop), 2);
        (void)loop_free(loop);
}
END_TEST

static void put_file(const char *name, const char *text, off_t n_bytes) {
        char path[128];
        int fd = open(in_folder(path, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        if (fd < 0 || write(fd, text, strlen(text)) < 0 || ftruncate(fd, n_bytes) < 0 ||
            close(fd) < 0) {
                perror(path);
                exit(EXIT_FAILURE);
        }
}

static int run_all(void) {
        Suite *suite = suite_create("stream-tls");
        TCase *cases = tcase_create("stream-tls");
        SRunner *runner;
        int n_failed;

        tcase_add_test(cases, test_wrong_modules);
        tcase_add_loop_test(cases, test_both_ways, 0, 3);
        tcase_add_loop_test(cases, test_failures, 0, (int)ELEMENTSOF(failures));
        tcase_add_loop_test(cases, test_client_refused, 0, 3);
        tcase_add_test(cases, test_silent_server);
        tcase_add_test(cases, test_out_of_descriptors);
        tcase_add_test(cases, test_answers_not_taken);
        tcase_add_test(cases, test_input_before_a_broken_end);
        tcase_add_loop_test(cases, test_freed_in_callback, 0, 5);
        tcase_add_test(cases, test_bad_port);
        tcase_add_test(cases, test_survives_oom);
        suite_add_tcase(suite, cases);
        runner = srunner_create(suite);
        srunner_set_fork_status(runner, CK_NOFORK);
        srunner_run_all(runner, CK_NORMAL);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(void) {
        static const char broken[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END "
                                     "CERTIFICATE-----\n";
        int code;

        (void)signal(SIGPIPE, SIG_IGN);
        folder = test_certificates_make(certificates, ELEMENTSOF(certificates));
        put_file("broken.pem", broken, (off_t)strlen(broken));
        put_file("empty.pem", "", 0);
        put_file("large.pem", "", 1024 * 1024 + 1);
        code = run_all();
        test_certificates_remove();
        return code;
}
