/* SPDX-License-Identifier: Apache-2.0 */

/* The server over TLS: our own channel as its client, and what either side says when it does not
 * come about. */

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/store/grpc-channel.h"
#include "tests/unit/fault.h"
#include "tests/unit/loop/certificates.h"
#include "tests/unit/store/grpc-server-fixture.h"

enum { LIMIT_US = 10 * US_PER_S };

static const char *folder;

static const TestCertificate certificates[] = {
        { { "authority", "ca" } },
        { { "authority", "other" } },
        { { "server", "good", "ca", "IP:127.0.0.1" } },
        { { "server", "renewed", "ca", "IP:127.0.0.1" } },
        { { "server", "expired", "ca", "IP:127.0.0.1", "20200101000000Z", "20200201000000Z" } },
        { { "server", "elsewhere", "ca", "IP:10.0.0.9" } },
        { { "client", "client", "ca", "fleet" } },
        { { "client", "late", "ca", "fleet", "20200101000000Z", "20200201000000Z" } },
        { { "client", "strange", "other", "fleet" } },
};

/* A server, and a client of it. */
typedef struct Pair {
        ServerFixture f;
        GrpcChannel *channel;
        bool is_lost, has_ended;
        char reason[512]; /* without the folder */
        GrpcCall call;
        GrpcCode code;
        char answer[64];
} Pair;

static void without_folder(char text[static 512], const char *from) {
        size_t n = 0;

        while (*from && n < 511) {
                if (strncmp(from, folder, strlen(folder)) == 0)
                        from += strlen(folder) + 1;
                text[n++] = *from++;
        }
        text[n] = '\0';
}

static void on_lost(GrpcChannel *channel, const char *reason, void *userdata) {
        Pair *p = userdata;

        (void)channel;
        p->is_lost = true;
        without_folder(p->reason, reason);
}

static void on_message(GrpcCall *call, GrpcMessage *message) {
        Pair *p = container_of(call, Pair, call);

        (void)snprintf(p->answer, sizeof p->answer, "%.*s", (int)message->n_bytes,
                       (const char *)message->bytes);
        free(message);
}

static void on_ended(GrpcCall *call, const GrpcStatus *status) {
        Pair *p = container_of(call, Pair, call);

        p->code = status->code;
        p->has_ended = true;
}

static const GrpcCallVtable call_vtable = { .message = on_message, .ended = on_ended };

static const char *path_of(char buffer[static 128], const char *name, const char *suffix) {
        if (!name)
                return NULL;
        (void)snprintf(buffer, 128, "%s/%s%s", folder, name, suffix);
        return buffer;
}

static int try_to_listen(Pair *p, const char *name, const char *client_ca, Diag *diag) {
        char cert[128], key[128], ca[128];
        const StreamTlsServer tls = {
                .module = TLS_MODULE,
                .cert_path = path_of(cert, name, ".pem"),
                .key_path = path_of(key, name, ".key"),
                .client_ca_path = path_of(ca, client_ca, ".pem"),
        };

        return grpc_server_listen(p->f.server, "127.0.0.1", 0, &tls, diag);
}

static void set_up(Pair *p, const char *name, const char *client_ca) {
        Diag diag = { 0 };

        *p = (Pair){ 0 };
        server_fixture_init(&p->f);
        p->f.echoes = true;
        ck_assert_msg(try_to_listen(p, name, client_ca, &diag) == 0, "%s", diag.message);
}

static void tear_down(Pair *p) {
        grpc_call_done(&p->call);
        p->channel = grpc_channel_free(p->channel);
        server_fixture_done(&p->f);
}

/* Connects, and makes one call. */
static void ask(Pair *p, const char *ca, const char *client) {
        char ca_path[128], cert[128], key[128];
        const StreamTls tls = {
                .module = TLS_MODULE,
                .ca_path = path_of(ca_path, ca, ".pem"),
                .cert_path = path_of(cert, client, ".pem"),
                .key_path = path_of(key, client, ".key"),
        };
        const GrpcTarget target = {
                .host = "127.0.0.1",
                .port = grpc_server_port(p->f.server),
                .tls = ca ? &tls : NULL,
        };
        uint8_t *bytes;

        grpc_call_done(&p->call);
        p->channel = grpc_channel_free(p->channel);
        p->is_lost = p->has_ended = false;
        ck_assert_int_eq(
                grpc_channel_connect(&p->channel, p->f.loop, &target, LIMIT_US, on_lost, p), 0);
        grpc_call_init(&p->call, &call_vtable, PATH_UNARY, true);
        ck_assert_int_eq(grpc_call_add_message(&p->call, 8, &bytes), 0);
        memcpy(bytes, "question", 8);
        ck_assert_int_eq(grpc_call_start(p->channel, &p->call, LIMIT_US), 0);
        turn_until(p->f.loop, &p->has_ended);
}

static void assert_answered(Pair *p) {
        ck_assert_msg(p->code == GRPC_OK, "%s", p->reason);
        ck_assert_str_eq(p->answer, "question");
        ck_assert_uint_eq(p->f.n_troubles, 0);
}

/* A call over TLS, with a client that has to prove itself and one that need not. */
START_TEST(test_served) {
        Pair p;

        set_up(&p, "good", _i == 0 ? NULL : "ca");
        ask(&p, "ca", _i == 0 ? NULL : "client");
        assert_answered(&p);
        tear_down(&p);
}
END_TEST

/* Files that are replaced count for the next connection; the server goes on with those there are. */
START_TEST(test_renewed) {
        char from[128], to[128];
        Pair p;

        set_up(&p, "renewed", NULL);
        ask(&p, "ca", NULL);
        assert_answered(&p);
        for (int i = 0; i < 2; i++) {
                const char *suffix = i == 0 ? ".pem" : ".key";

                ck_assert_int_eq(rename(path_of(from, "renewed", suffix),
                                        path_of(to, i == 0 ? "was-pem" : "was-key", "")),
                                 0);
                ck_assert_int_eq(symlink(path_of(to, "elsewhere", suffix), from), 0);
        }
        ask(&p, "ca", NULL);
        ck_assert_str_eq(p.reason, "its certificate is for 10.0.0.9, not for 127.0.0.1");
        for (int i = 0; i < 2; i++)
                ck_assert_int_eq(rename(path_of(from, i == 0 ? "was-pem" : "was-key", ""),
                                        path_of(to, "renewed", i == 0 ? ".pem" : ".key")),
                                 0);
        ask(&p, "ca", NULL);
        ck_assert_int_eq(p.code, GRPC_OK);
        tear_down(&p);
}
END_TEST

/* Who is refused by whom, and what each of them is told. */
static const struct {
        const char *server, *client_ca; /* what the server shows, and whom it trusts */
        const char *ca, *client; /* whom the client trusts, NULL = it does no TLS; what it shows */
        const char *server_says, *client_says;
} refusals[] = {
        { "good", "ca", "ca", NULL, "it shows no client certificate, and has to",
          "it wants a client certificate, and none is configured" },
        { "good", "ca", "ca", "late", "its certificate has expired, on Feb  1 00:00:00 2020 GMT",
          "it refuses the client certificate late.pem, which has expired, on Feb  1 00:00:00 2020 "
          "GMT" },
        { "good", "ca", "ca", "strange",
          "its certificate comes from \"other\", which is no authority of the CA file ca.pem",
          "it refuses the client certificate strange.pem: it does not trust the CA that it is "
          "from" },
        { "expired", NULL, "ca", NULL,
          "it refuses our certificate expired.pem, which has expired, on Feb  1 00:00:00 2020 GMT",
          "its certificate has expired, on Feb  1 00:00:00 2020 GMT" },
        { "elsewhere", NULL, "ca", NULL,
          "it refuses our certificate elsewhere.pem: is it from the CA that the client trusts, and "
          "for the name or address that it asks for?",
          "its certificate is for 10.0.0.9, not for 127.0.0.1" },
        { "good", NULL, "other", NULL,
          "it refuses our certificate good.pem: it does not trust the CA that it is from",
          "its certificate comes from \"ca\", which is no authority of the CA file other.pem" },
        { "good", NULL, NULL, NULL, "it does not speak TLS; is it http:// in place of https://?",
          "it ended the connection before it said anything; is it https:// in place of http://?" },
};

/* A refusal has words on both sides, and reaches no service. */
START_TEST(test_refused) {
        char said[512];
        Pair p;

        set_up(&p, refusals[_i].server, refusals[_i].client_ca);
        ask(&p, refusals[_i].ca, refusals[_i].client);
        ck_assert_int_eq(p.code, GRPC_UNAVAILABLE);
        turn_until(p.f.loop, &p.is_lost);
        ck_assert_str_eq(p.reason, refusals[_i].client_says);
        turn_until(p.f.loop, &p.f.has_trouble);
        without_folder(said, p.f.trouble);
        ck_assert_ptr_nonnull(strstr(said, ": "));
        ck_assert_str_eq(strstr(said, ": ") + 2, refusals[_i].server_says);
        ck_assert_int_eq(strncmp(said, "127.0.0.1:", 10), 0);
        ck_assert_uint_eq(p.f.n_messages, 0);
        ck_assert_uint_eq(grpc_server_connections(p.f.server), 0);
        tear_down(&p);
}
END_TEST

/* A certificate that cannot be used is refused when listening begins. */
START_TEST(test_wrong_files) {
        static const struct {
                const char *name, *client_ca, *words;
                int r;
        } rows[] = {
                { "none", NULL,
                  "cannot read the certificate file none.pem: No such file or directory", -ENOENT },
                { "good", "none", "cannot read the CA file none.pem: No such file or directory",
                  -ENOENT },
        };
        Pair p;

        set_up(&p, "good", NULL);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Diag diag = { 0 };
                char said[512];

                ck_assert_int_eq(try_to_listen(&p, rows[i].name, rows[i].client_ca, &diag),
                                 rows[i].r);
                without_folder(said, diag.message);
                ck_assert_str_eq(said, rows[i].words);
        }
        ask(&p, "ca", NULL);
        assert_answered(&p);
        tear_down(&p);
}
END_TEST

/* A client that connects and says nothing is closed in time, and does not hold the others up. */
START_TEST(test_silent_client) {
        struct sockaddr_in address = { .sin_family = AF_INET };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct pollfd end = { .fd = fd, .events = POLLIN };
        Pair p;

        set_up(&p, "good", NULL);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(grpc_server_port(p.f.server));
        ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
        ask(&p, "ca", NULL);
        assert_answered(&p);
        ck_assert_uint_eq(grpc_server_connections(p.f.server), 2);

        p.f.env.now_us += 10 * US_PER_S;
        turn_until(p.f.loop, &p.f.has_trouble);
        ck_assert_ptr_nonnull(strstr(p.f.trouble, "did not do its part of TLS in time"));
        ck_assert_int_eq(poll(&end, 1, 0), 1);
        (void)close(fd);
        tear_down(&p);
}
END_TEST

/* Without memory for a client it is closed, and the next one is served. */
START_TEST(test_no_memory_for_a_client) {
        struct sockaddr_in address = { .sin_family = AF_INET };
        bool has_failed = true;
        Pair p;

        set_up(&p, "good", NULL);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(grpc_server_port(p.f.server));
        for (size_t n = 0; has_failed; n++) {
                int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

                ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
                fault_arm(n);
                for (int i = 0; i < 10; i++)
                        (void)loop_turn(p.f.loop, 0);
                has_failed = fault_disarm();
                ck_assert_uint_eq(grpc_server_connections(p.f.server), has_failed ? 0 : 1);
                ck_assert(n > 0 || has_failed);
                (void)close(fd);
                turn_until_idle(p.f.loop);
                ck_assert_uint_eq(grpc_server_connections(p.f.server), 0);
        }
        ask(&p, "ca", NULL);
        ck_assert_int_eq(p.code, GRPC_OK);
        tear_down(&p);
}
END_TEST

static int run_all(void) {
        Suite *suite = suite_create("grpc-server-tls");
        TCase *cases = tcase_create("grpc-server-tls");
        SRunner *runner;
        int n_failed;

        tcase_add_loop_test(cases, test_served, 0, 2);
        tcase_add_test(cases, test_renewed);
        tcase_add_loop_test(cases, test_refused, 0, (int)ELEMENTSOF(refusals));
        tcase_add_test(cases, test_wrong_files);
        tcase_add_test(cases, test_silent_client);
        tcase_add_test(cases, test_no_memory_for_a_client);
        suite_add_tcase(suite, cases);
        runner = srunner_create(suite);
        srunner_set_fork_status(runner, CK_NOFORK);
        srunner_run_all(runner, CK_NORMAL);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(void) {
        int code;

        folder = test_certificates_make(certificates, ELEMENTSOF(certificates));
        code = run_all();
        test_certificates_remove();
        return code;
}
