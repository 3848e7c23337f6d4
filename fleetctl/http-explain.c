/* SPDX-License-Identifier: Apache-2.0 */

/* Failures as rows: the first that matches gives cause and remedy. An errno of the connection or a
 * verdict of the TLS library says more than libcurl's code, so rows with those stand first. Where
 * neither is known, parts of libcurl's words tell cases apart; should a later version choose other
 * words, the person reads those, with a remedy that is less exact.
 */

#include "fleetctl/http-explain.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fleetctl/http.h"
#include "lib/base/macro.h"

/* Verdicts of OpenSSL on a certificate (openssl/x509_vfy.h), which libcurl hands on. With another
 * TLS library none of these comes, and libcurl's words have to do. */
enum {
        CERTIFICATE_NOT_YET_VALID = 9,
        CERTIFICATE_EXPIRED = 10,
        CERTIFICATE_SELF_SIGNED = 18,
        CERTIFICATE_SELF_SIGNED_IN_CHAIN = 19,
        CERTIFICATE_UNKNOWN_ISSUER = 20,
        CERTIFICATE_UNVERIFIABLE = 21,
};

/* What kind of endpoint a row is about. */
typedef enum Kind { KIND_ANY, KIND_UNIX, KIND_TLS } Kind;

/* A row. What is zero matches anything. */
typedef struct Explanation {
        CURLcode code;
        Kind kind;
        int error;
        long verify_result;
        const char *words; /* part of libcurl's words */
        bool passes;       /* may it succeed a moment later? */
        const char *cause; /* NULL = the errno's text or, without one, libcurl's words */
        const char *remedy;
} Explanation;

static const char check_there[] =
        "check --endpoint or FLEETCTL_ENDPOINT, and that fleetd listens there";
static const char look_there[] =
        "fleetd there may be waiting for its store: look at it with 'systemctl status fleet', or "
        "wait longer with --request-timeout";
static const char check_api[] =
        "check that --endpoint or FLEETCTL_ENDPOINT names the API of fleetd";
static const char start_here[] =
        "start it with 'systemctl start fleet.socket', or name the API of another machine with "
        "--endpoint or FLEETCTL_ENDPOINT";
static const char name_authority[] =
        "give the certificate of its authority with --ca-file or FLEETCTL_CA_FILE";
static const char check_pair[] = "check --cert-file and --key-file";
static const char give_accepted[] =
        "give a certificate that it accepts with --cert-file and --key-file";
/* A server's refusal of a certificate may be lost when it closes the connection on a request. */
static const char give_if_wanted[] = "check that --endpoint or FLEETCTL_ENDPOINT names the API of "
                                     "fleetd, and give a certificate "
                                     "with --cert-file and --key-file if it wants one";

static const Explanation explanations[] = {
        /* The connection. */
        { .code = CURLE_COULDNT_CONNECT,
          .kind = KIND_UNIX,
          .error = ENOENT,
          .cause = "there is no such socket, so fleet.socket does not run on this machine",
          .remedy = start_here },
        { .code = CURLE_COULDNT_CONNECT,
          .kind = KIND_UNIX,
          .error = ECONNREFUSED,
          .passes = true,
          .cause = "nobody listens on the socket, so fleet.socket does not run on this machine",
          .remedy = start_here },
        { .code = CURLE_COULDNT_CONNECT,
          .kind = KIND_UNIX,
          .error = EACCES,
          .remedy = "run fleetctl as root, or as a member of the socket's group" },
        /* Seen in the moment in which fleetd restarts, without an error number. */
        { .code = CURLE_COULDNT_CONNECT, .kind = KIND_UNIX, .passes = true, .remedy = check_there },
        { .code = CURLE_COULDNT_CONNECT,
          .error = ECONNREFUSED,
          .passes = true,
          .remedy = check_there },
        { .code = CURLE_COULDNT_CONNECT, .remedy = check_there },
        { .code = CURLE_COULDNT_RESOLVE_HOST, .remedy = check_there },
        { .code = CURLE_URL_MALFORMAT, .remedy = "check --endpoint or FLEETCTL_ENDPOINT" },

        /* Its certificate. */
        { .verify_result = CERTIFICATE_EXPIRED,
          .cause = "its certificate has expired",
          .remedy = "have it renewed, and check the clock of this machine" },
        { .verify_result = CERTIFICATE_NOT_YET_VALID,
          .cause = "its certificate is not valid yet",
          .remedy = "check the clocks of this machine and of the one that made it" },
        { .verify_result = CERTIFICATE_SELF_SIGNED,
          .cause = "its certificate is signed by nobody but itself",
          .remedy = name_authority },
        { .verify_result = CERTIFICATE_SELF_SIGNED_IN_CHAIN,
          .cause = "its certificate is signed by an authority that is not trusted here",
          .remedy = name_authority },
        { .verify_result = CERTIFICATE_UNKNOWN_ISSUER,
          .cause = "its certificate is signed by an authority that is not trusted here",
          .remedy = name_authority },
        { .verify_result = CERTIFICATE_UNVERIFIABLE,
          .cause = "its certificate is signed by an authority that is not trusted here",
          .remedy = name_authority },
        { .code = CURLE_PEER_FAILED_VERIFICATION,
          .words = "match",
          .cause = "its certificate is for another name",
          .remedy = "write the endpoint with a name that the certificate has" },
        /* Its certificate has passed: this is how libcurl says that the server found ours expired. */
        { .code = CURLE_PEER_FAILED_VERIFICATION,
          .words = "SSL certificate verification failed",
          .cause = "the certificate of fleetctl has expired",
          .remedy = give_accepted },
        { .code = CURLE_PEER_FAILED_VERIFICATION, .remedy = name_authority },

        /* Our own files, of which http-tls.c has seen that they are of the right kind. */
        { .code = CURLE_SSL_CACERT_BADFILE,
          .cause = "the file of authorities is damaged",
          .remedy = "check --ca-file or FLEETCTL_CA_FILE" },
        { .code = CURLE_SSL_CERTPROBLEM,
          .words = "private key",
          .cause = "the private key of fleetctl does not belong to its certificate, or is damaged",
          .remedy = check_pair },
        { .code = CURLE_SSL_CERTPROBLEM,
          .words = "client certificate",
          .cause = "the certificate of fleetctl is damaged",
          .remedy = check_pair },
        { .code = CURLE_SSL_CERTPROBLEM, .remedy = check_pair },

        /* TLS itself. */
        { .words = "alert certificate required",
          .cause = "it wants to see a certificate",
          .remedy = give_accepted },
        { .words = "alert unknown ca",
          .cause = "it does not trust the authority of fleetctl's certificate",
          .remedy = give_accepted },
        { .words = "alert certificate expired",
          .cause = "the certificate of fleetctl has expired",
          .remedy = give_accepted },
        { .words = "alert bad certificate",
          .cause = "it refuses the certificate of fleetctl",
          .remedy = give_accepted },
        { .words = "alert handshake failure",
          .cause = "it refused the TLS handshake, as servers do that want to see a certificate",
          .remedy = give_accepted },
        { .code = CURLE_SSL_CONNECT_ERROR,
          .words = "wrong version number",
          .cause = "it does not speak TLS",
          .remedy = "write http:// in --endpoint or FLEETCTL_ENDPOINT, or name the port of the "
                    "TLS proxy before fleetd" },
        { .code = CURLE_SSL_CONNECT_ERROR,
          .remedy = "check that --endpoint or FLEETCTL_ENDPOINT names a TLS proxy before fleetd" },

        /* The exchange. */
        { .code = CURLE_UNSUPPORTED_PROTOCOL,
          .words = "HTTP/0.9",
          .cause = "it does not answer in HTTP",
          .remedy = "write https:// in --endpoint or FLEETCTL_ENDPOINT if it speaks TLS, and check "
                    "that it is the API of fleetd" },
        { .code = CURLE_RECV_ERROR, .kind = KIND_TLS, .passes = true, .remedy = give_if_wanted },
        { .code = CURLE_SEND_ERROR, .kind = KIND_TLS, .passes = true, .remedy = give_if_wanted },
        { .code = CURLE_GOT_NOTHING, .passes = true, .remedy = check_api },
        { .code = CURLE_PARTIAL_FILE, .passes = true, .remedy = check_api },
        { .code = CURLE_RECV_ERROR, .passes = true, .remedy = check_api },
        { .code = CURLE_SEND_ERROR, .passes = true, .remedy = check_api },
};

static const Explanation explanation_else = { .remedy = check_api };

static bool explanation_matches(const Explanation *explanation, const HttpFailure *failure) {
        Kind kind = failure->endpoint->socket_path ? KIND_UNIX
                    : failure->endpoint->is_tls    ? KIND_TLS
                                                   : KIND_ANY;

        return (explanation->code == CURLE_OK || (int)explanation->code == failure->code) &&
               (explanation->kind == KIND_ANY || explanation->kind == kind) &&
               (explanation->error == 0 || explanation->error == failure->error) &&
               (explanation->verify_result == 0 ||
                explanation->verify_result == failure->verify_result) &&
               (!explanation->words || strstr(failure->words, explanation->words));
}

static const Explanation *explanation_find(const HttpFailure *failure) {
        for (size_t i = 0; i < ELEMENTSOF(explanations); i++)
                if (explanation_matches(&explanations[i], failure))
                        return &explanations[i];
        return &explanation_else;
}

bool http_failure_is_passing(const HttpFailure *failure) {
        return explanation_find(failure)->passes;
}

const char http_in_doubt[] =
        "what was asked for may have been done: look with 'fleetctl list-unit-files' before trying "
        "again";

static const char *silence_cause(const HttpFailure *failure) {
        if (!failure->is_connected)
                return "there was no connection";
        return failure->is_sent ? "it accepted the request and did not answer"
                                : "it accepted the connection and said nothing";
}

void http_cause(const HttpFailure *failure, Diag *ret_cause) {
        const char *cause = explanation_find(failure)->cause;

        if (failure->code == CURLE_OPERATION_TIMEDOUT) {
                (void)diag_set(ret_cause, 0, "%s within %g s", silence_cause(failure),
                               (double)failure->waited_ms / 1000);
                return;
        }
        if (!cause && failure->code == CURLE_COULDNT_CONNECT && failure->error > 0)
                cause = strerror(failure->error);
        (void)diag_set(ret_cause, 0, "%s", cause ? cause : failure->words);
}

static const char *remedy_of(const HttpFailure *failure) {
        if (http_failure_is_of_connection(failure) && failure->is_sent && failure->is_change)
                return http_in_doubt;
        if (failure->code == CURLE_OPERATION_TIMEDOUT)
                return failure->is_connected ? look_there : check_there;
        return explanation_find(failure)->remedy;
}

bool http_failure_is_of_connection(const HttpFailure *failure) {
        return http_failure_is_passing(failure) || failure->code == CURLE_COULDNT_CONNECT ||
               failure->code == CURLE_OPERATION_TIMEDOUT;
}

int http_explain(const HttpFailure *failure, Diag *diag) {
        bool may_pass = http_failure_is_of_connection(failure);
        Diag cause = { 0 };

        http_cause(failure, &cause);
        return diag_set(diag, may_pass ? -EHOSTUNREACH : -EPROTO,
                        "unable to talk to fleet at %s: %s; %s", failure->endpoint->text,
                        cause.message, remedy_of(failure));
}
