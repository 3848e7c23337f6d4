/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* HTTP requests to one endpoint: several at a time, or one whose reply is a stream. The only
 * implementation is http-curl.c. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fleetctl/endpoint.h"
#include "fleetctl/options.h"
#include "lib/base/buf.h"
#include "lib/base/diag.h"
#include "lib/base/macro.h"

enum {
        HTTP_PARALLEL_MAX = 32, /* requests in flight, and connections */
        HTTP_RELAYED_MAX =
                8, /* connections of a relay: sshd allows 10 sessions per login by default
                                (MaxSessions, sshd_config(5)) */
        HTTP_REPLY_MAX_BYTES = 64 * 1024 * 1024, /* larger replies are refused */
        HTTP_CHANGE_S = 40,  /* longest silence after a change was asked for: beyond the daemon's
                                own deadlines, after which it says how it went */
        HTTP_SILENCE_S = 45, /* longest silence in a stream: three of its signs of life
                                (docs/api.md) */
        HTTP_TICK_MS = 100,  /* how often a stream's on_tick() is called while nothing arrives */
};

/* Statuses that mean something to us (RFC 9110). */
enum {
        HTTP_STATUS_OK = 200,
        HTTP_STATUS_NOT_FOUND = 404,
        HTTP_STATUS_UNAVAILABLE = 503,
};

/* For whoever asked for a change and did not hear how it went: it may have been made. */
extern const char http_in_doubt[];

typedef struct Http Http;
typedef struct HttpRequest HttpRequest;
typedef struct HttpStream HttpStream;
typedef struct HttpRelay HttpRelay;

/* Takes connections to where libcurl cannot: through a tunnel. Embed it. */
struct HttpRelay {
        const char *socket_path; /* of a unix socket that listens for HTTP_RELAYED_MAX or more */
        /* Take the connections that wait there to the endpoint. Returns 0, or a negative errno with
         * a message. */
        int (*serve)(HttpRelay *relay, const Endpoint *endpoint, Diag *diag);
        /* Set the message for a connection that ended with `cause`; returns a negative errno, which
         * is -EHOSTUNREACH when another one may fare better. */
        int (*explain)(HttpRelay *relay, const Endpoint *endpoint, const char *cause, Diag *diag);
};

/* One request and its reply. Zeroed, then the members before the gap set. */
struct HttpRequest {
        const char *method; /* static */
        const char *path;   /* absolute and percent-encoded, with the query; borrowed */
        const char *body;   /* JSON, borrowed; NULL for none */
        size_t n_body_bytes;
        bool is_slow; /* it has work to do before it answers: HTTP_CHANGE_S of silence are fine */

        long status;          /* HTTP status of the reply; 0 while there is none */
        bool was_turned_away; /* a 503 that says when to come again: nothing was done */
        Buf reply;            /* its body, owned; the caller calls buf_done() */
};

/* Whoever reads a stream; embed it. A return value other than 0 ends the stream, and http_stream()
 * returns it. */
struct HttpStream {
        int (*on_bytes)(HttpStream *stream, const char *bytes,
                        size_t n_bytes);    /* part of a body of status 200 */
        int (*on_tick)(HttpStream *stream); /* at least every HTTP_TICK_MS */
};

/* Prepare to talk to the endpoint that `options` name; nothing is connected yet. What they point to
 * must outlive the Http. `relay` takes the connections, and outlives the Http; NULL = they are
 * direct. Returns 0, -ENOMEM, or -EINVAL with a message for a bad endpoint. */
int http_new(const Options *options, HttpRelay *relay, Http **ret_http, Diag *diag);

/* Close all connections. Takes NULL; returns NULL. */
Http *http_free(Http *http);
DEFINE_CLEANUP(Http, http_free)

/* Carry out requests, HTTP_PARALLEL_MAX at a time, and wait for all replies of whatever status.
 * What may be asked twice (GET, DELETE), or has certainly not been done, is asked again for as long
 * as --request-timeout allows. Returns 0, or a negative errno with a message that names the
 * endpoint, the cause and a remedy, as soon as one cannot be carried out; the others are then
 * abandoned. -EHOSTUNREACH is what may pass by itself: nobody listens, or the answer broke off. */
int http_run(Http *http, HttpRequest *requests, size_t n_requests, Diag *diag);

/* Carry out one request whose reply is handed to `stream` as it arrives; a reply of another status
 * than 200 is put into request->reply. Returns 0 at the end of the reply, what a callback of
 * `stream` returned, or a negative errno with a message as in http_run(). */
int http_stream(Http *http, HttpRequest *request, HttpStream *stream, Diag *diag);
