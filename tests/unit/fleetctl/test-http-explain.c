/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetctl/http-explain.h"

#include <curl/curl.h>
#include <errno.h>
#include <string.h>

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

static char socket_path[] = "/s", text[] = "URL";
static const Endpoint on_unix = { .text = text, .socket_path = socket_path };
static const Endpoint on_tcp = { .text = text };
static const Endpoint on_tls = { .text = text, .is_tls = true };

static const struct {
        const Endpoint *endpoint;
        CURLcode code;
        int error;
        long verify_result;
        const char *words;
        bool is_passing;
        const char *cause, *remedy;
} failures[] = {
        { &on_unix, CURLE_COULDNT_CONNECT, ENOENT, 0, "?", false, "there is no such socket",
          "systemctl start fleet.socket" },
        { &on_unix, CURLE_COULDNT_CONNECT, ECONNREFUSED, 0, "?", true, "nobody listens",
          "systemctl start fleet.socket" },
        { &on_unix, CURLE_COULDNT_CONNECT, EACCES, 0, "?", false, "Permission denied",
          "run fleetctl as root" },
        { &on_unix, CURLE_COULDNT_CONNECT, 0, 0, "words", true, "words",
          "that fleetd listens there" },
        { &on_tcp, CURLE_COULDNT_CONNECT, ECONNREFUSED, 0, "?", true, "Connection refused",
          "that fleetd listens there" },
        { &on_tcp, CURLE_COULDNT_CONNECT, EHOSTUNREACH, 0, "?", false, "No route to host",
          "that fleetd listens there" },
        { &on_tcp, CURLE_COULDNT_CONNECT, 0, 0, "words", false, "words",
          "that fleetd listens there" },
        { &on_tls, CURLE_PEER_FAILED_VERIFICATION, 0, 10, "?", false, "has expired",
          "have it renewed" },
        { &on_tls, CURLE_PEER_FAILED_VERIFICATION, 0, 9, "?", false, "not valid yet",
          "check the clocks" },
        { &on_tls, CURLE_PEER_FAILED_VERIFICATION, 0, 18, "?", false, "but itself", "--ca-file" },
        { &on_tls, CURLE_PEER_FAILED_VERIFICATION, 0, 19, "?", false, "not trusted here",
          "--ca-file" },
        { &on_tls, CURLE_PEER_FAILED_VERIFICATION, 0, 20, "?", false, "not trusted here",
          "--ca-file" },
        { &on_tls, CURLE_PEER_FAILED_VERIFICATION, 0, 21, "?", false, "not trusted here",
          "--ca-file" },
        { &on_tls, CURLE_PEER_FAILED_VERIFICATION, 0, 0, "names do not match", false,
          "for another name", "a name that the certificate has" },
        { &on_tls, CURLE_PEER_FAILED_VERIFICATION, 0, 99, "words", false, "words", "--ca-file" },
        { &on_tls, CURLE_SSL_CONNECT_ERROR, 0, 0, "wrong version number", false,
          "does not speak TLS", "write http://" },
        { &on_tls, CURLE_SSL_CONNECT_ERROR, 0, 0, "words", false, "words", "TLS proxy" },
        { &on_tls, CURLE_RECV_ERROR, 0, 0, "alert certificate required", false,
          "wants to see a certificate", "--cert-file" },
        { &on_tls, CURLE_RECV_ERROR, 0, 0, "alert bad certificate", false,
          "refuses the certificate", "--cert-file" },
        { &on_tls, CURLE_SEND_ERROR, EPIPE, 0, "words", true, "words", "--cert-file" },
        { &on_tcp, CURLE_UNSUPPORTED_PROTOCOL, 0, 0, "Received HTTP/0.9", false,
          "does not answer in HTTP", "write https://" },
        { &on_tcp, CURLE_GOT_NOTHING, 0, 0, "words", true, "words", "the API of fleetd" },
        { &on_tcp, CURLE_TOO_MANY_REDIRECTS, 0, 0, "words", false, "words", "the API of fleetd" },
};

/* Every failure says whether it may pass, its cause, and a remedy; the words are compared as far as
 * they tell the cases apart. What nobody foresaw is told in libcurl's words. */
START_TEST(test_failures) {
        for (size_t i = 0; i < ELEMENTSOF(failures); i++) {
                const HttpFailure failure = {
                        .endpoint = failures[i].endpoint,
                        .words = failures[i].words,
                        .code = (int)failures[i].code,
                        .error = failures[i].error,
                        .verify_result = failures[i].verify_result,
                };
                const char *cause, *remedy;
                Diag diag = { 0 };
                int r = http_explain(&failure, &diag);

                ck_assert_int_eq(http_failure_is_passing(&failure), failures[i].is_passing);
                ck_assert_int_eq(r,
                                 failures[i].is_passing || failures[i].code == CURLE_COULDNT_CONNECT
                                         ? -EHOSTUNREACH
                                         : -EPROTO);
                ck_assert_int_eq(strncmp(diag.message, "unable to talk to fleet at URL: ", 32), 0);
                cause = strstr(diag.message, failures[i].cause);
                remedy = strstr(diag.message, failures[i].remedy);
                ck_assert_msg(cause && remedy && cause < strchr(diag.message, ';') &&
                                      remedy > strchr(diag.message, ';'),
                              "%s", diag.message);
        }
}
END_TEST

/* How far it came before the silence is told; after a change, that it may have been made. */
START_TEST(test_silence) {
        static const struct {
                bool is_connected, is_sent, is_change;
                const char *cause, *remedy;
        } cases[] = {
                { false, false, true, "there was no connection within 2.7 s; ", "listens there" },
                { true, false, true, "accepted the connection and said nothing within 2.7 s; ",
                  "--request-timeout" },
                { true, true, false, "accepted the request and did not answer within 2.7 s; ",
                  "--request-timeout" },
                { true, true, true, "accepted the request and did not answer within 2.7 s; ",
                  "may have been done" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const HttpFailure failure = {
                        .endpoint = &on_tls,
                        .words = "?",
                        .code = CURLE_OPERATION_TIMEDOUT,
                        .waited_ms = 2700,
                        .is_connected = cases[i].is_connected,
                        .is_sent = cases[i].is_sent,
                        .is_change = cases[i].is_change,
                };
                Diag diag = { 0 };

                ck_assert_int_eq(http_explain(&failure, &diag), -EHOSTUNREACH);
                ck_assert_ptr_nonnull(strstr(diag.message, cases[i].cause));
                ck_assert_ptr_nonnull(strstr(diag.message, cases[i].remedy));
        }
}
END_TEST

/* A change whose answer breaks off may have been made; a question can just be asked again. */
START_TEST(test_broken_changes) {
        HttpFailure failure = {
                .endpoint = &on_tcp,
                .words = "?",
                .code = CURLE_GOT_NOTHING,
                .is_connected = true,
                .is_sent = true,
                .is_change = true,
        };
        Diag diag = { 0 };

        ck_assert_int_eq(http_explain(&failure, &diag), -EHOSTUNREACH);
        ck_assert_ptr_nonnull(strstr(diag.message, "may have been done"));
        failure.is_sent = false;
        ck_assert_int_eq(http_explain(&failure, &diag), -EHOSTUNREACH);
        ck_assert_ptr_null(strstr(diag.message, "may have been done"));
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_failures, test_silence, test_broken_changes };

        return tests_run("http-explain", tests, ELEMENTSOF(tests));
}
