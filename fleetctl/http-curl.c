/* SPDX-License-Identifier: Apache-2.0 */

/* HTTP by libcurl: the only file of the project that includes curl.
 *
 * One multi handle keeps the connections alive across requests; a slot is an easy handle with the
 * request that it carries. Requests are taken into free slots in order, so 1,000 of them cost 32
 * connections and no thread. A stream is a single slot whose bytes go to its reader, with a clock
 * of its own: curl's low-speed limit cannot tell a daemon that has nothing to say but an empty line
 * now and then from a dead one.
 *
 * Failures are told to a person: libcurl's code and the errno behind it become a cause, and a
 * remedy where there is one.
 */

#include "fleetctl/http.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "fleetctl/endpoint.h"
#include "lib/base/env.h"
#include "lib/base/log.h"

enum { URL_MAX_BYTES = 16 * 1024 };

/* An easy handle and what it carries now. */
typedef struct Slot {
        Http *http;                  /* borrowed */
        CURL *easy;                  /* owned; NULL until first used */
        HttpRequest *request;        /* borrowed; NULL while the slot is free */
        HttpStream *stream;          /* borrowed; NULL unless the reply is a stream */
        int stream_result;           /* what the stream's callback returned, if not 0 */
        int reply_error;             /* why the reply could not be kept, or 0 */
        char error[CURL_ERROR_SIZE]; /* libcurl's words */
} Slot;

struct Http {
        Endpoint endpoint;
        HttpRelay *relay;           /* borrowed; NULL = connections are direct */
        CURLM *multi;               /* owned */
        struct curl_slist *headers; /* owned; of requests with a body */
        Slot slots[HTTP_PARALLEL_MAX];
        uint64_t last_bytes_us; /* when the stream last gave a sign of life */
};

Http *http_free(Http *http) {
        if (!http)
                return NULL;

        for (size_t i = 0; i < ELEMENTSOF(http->slots); i++) {
                if (http->slots[i].request)
                        (void)curl_multi_remove_handle(http->multi, http->slots[i].easy);
                curl_easy_cleanup(http->slots[i].easy);
        }
        (void)curl_multi_cleanup(http->multi);
        curl_slist_free_all(http->headers);
        endpoint_done(&http->endpoint);
        free(http);
        return NULL;
}

static int http_add_header(Http *http, const char *header) {
        struct curl_slist *list = curl_slist_append(http->headers, header);

        if (!list)
                return -ENOMEM;
        http->headers = list;
        return 0;
}

int http_new(const Options *options, HttpRelay *relay, Http **ret_http, Diag *diag) {
        _cleanup_(http_freep) Http *http = NULL;
        int r;

        http = calloc(1, sizeof(*http));
        if (!http)
                return -ENOMEM;

        r = endpoint_parse(options->endpoint, &http->endpoint, diag);
        if (r < 0)
                return r;

        if (curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK)
                return -ENOMEM;
        http->multi = curl_multi_init();
        if (!http->multi)
                return -ENOMEM;
        (void)curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)HTTP_PARALLEL_MAX);
        http->relay = relay;
        if (relay)
                (void)curl_multi_setopt(http->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS,
                                        (long)HTTP_RELAYED_MAX);

        /* "Expect: 100-continue" would cost a large body a second of waiting. */
        if (http_add_header(http, "Content-Type: application/json") < 0 ||
            http_add_header(http, "Expect:") < 0)
                return -ENOMEM;

        *ret_http = TAKE(http);
        return 0;
}

static size_t slot_on_bytes(char *bytes, size_t size, size_t n, void *userdata) {
        Slot *slot = userdata;
        size_t n_bytes = size * n;
        long status = 0;

        (void)curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
        slot->http->last_bytes_us = env_now_us(env_system());

        if (slot->stream && status == 200) {
                slot->stream_result = slot->stream->on_bytes(slot->stream, bytes, n_bytes);
                return slot->stream_result == 0 ? n_bytes : 0;
        }

        slot->reply_error = buf_append(&slot->request->reply, bytes, n_bytes);
        return slot->reply_error == 0 ? n_bytes : 0;
}

/* Results are ignored: these options exist in every libcurl that this compiles with, and want of
 * memory shows in the transfer. */
static void slot_set_basics(Slot *slot, const char *url) {
        const Endpoint *endpoint = &slot->http->endpoint;
        CURL *easy = slot->easy;

        (void)curl_easy_setopt(easy, CURLOPT_URL, url);
        (void)curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
        /* Whoever sees this traffic can run anything on every machine: not a proxy from the
         * environment. */
        (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
        (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http");
        (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        (void)curl_easy_setopt(easy, CURLOPT_USERAGENT, "fleetctl/" FLEET_VERSION);
        (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        (void)curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
        (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)HTTP_CONNECT_MS);
        (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT, slot->stream ? 0L : (long)HTTP_REPLY_S);
        (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, slot->error);
        (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, slot_on_bytes);
        (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, slot);
        (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, slot);
        if (slot->http->relay)
                (void)curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH,
                                       slot->http->relay->socket_path);
        else if (endpoint->socket_path)
                (void)curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, endpoint->socket_path);
}

static void slot_set_body(Slot *slot) {
        const HttpRequest *request = slot->request;

        (void)curl_easy_setopt(slot->easy, CURLOPT_CUSTOMREQUEST, request->method);
        if (!request->body)
                return;
        (void)curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDS, request->body);
        (void)curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                               (curl_off_t)request->n_body_bytes);
        (void)curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, slot->http->headers);
}

static int slot_start(Slot *slot, HttpRequest *request, HttpStream *stream) {
        Http *http = slot->http;
        _cleanup_(buf_done) Buf url = buf_make(URL_MAX_BYTES);
        int r;

        assert(!slot->request);

        r = buf_printf(&url, "%s%s", http->endpoint.base_url, request->path);
        if (r < 0)
                return r;

        if (slot->easy)
                curl_easy_reset(slot->easy);
        else
                slot->easy = curl_easy_init();
        if (!slot->easy)
                return -ENOMEM;

        request->reply = buf_make(HTTP_REPLY_MAX_BYTES);
        slot->stream = stream;
        slot->stream_result = slot->reply_error = 0;
        slot->error[0] = '\0';
        slot->request = request;
        slot_set_basics(slot, url.data);
        slot_set_body(slot);

        log_line(LOG_DEBUG, "HTTP %s %s", request->method, url.data);
        if (curl_multi_add_handle(http->multi, slot->easy) == CURLM_OK)
                return 0;
        slot->request = NULL;
        return -ENOMEM;
}

/* What to do about it. An errno of the connection is told before libcurl's own code. */
static const char *remedy(const Http *http, CURLcode code, int error) {
        if (http->endpoint.socket_path && error == EACCES)
                return "run fleetctl as root, or as a member of the socket's group";
        if (http->endpoint.socket_path && (error == ENOENT || error == ECONNREFUSED))
                return "start fleetd here with 'systemctl start fleet.socket fleet.service', or "
                       "name another "
                       "machine with --endpoint or FLEETCTL_ENDPOINT";
        if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_CONNECT ||
            code == CURLE_OPERATION_TIMEDOUT || code == CURLE_URL_MALFORMAT)
                return "check --endpoint or FLEETCTL_ENDPOINT, and that fleetd listens there";
        if (code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING ||
            code == CURLE_SEND_ERROR)
                return "what was asked for may have been done: look with 'fleetctl "
                       "list-unit-files', and try again";
        return "check that --endpoint or FLEETCTL_ENDPOINT names the API of fleetd";
}

static int http_explain(const Slot *slot, CURLcode code, Diag *diag) {
        const Http *http = slot->http;
        const char *cause = slot->error[0] ? slot->error : curl_easy_strerror(code);
        long error = 0;
        curl_off_t connect_us = 0;

        (void)curl_easy_getinfo(slot->easy, CURLINFO_OS_ERRNO, &error);
        (void)curl_easy_getinfo(slot->easy, CURLINFO_CONNECT_TIME_T, &connect_us);

        if (code == CURLE_COULDNT_CONNECT && error > 0)
                cause = strerror((int)error);
        else if (code == CURLE_OPERATION_TIMEDOUT)
                cause = connect_us > 0 ? "it accepted the request and did not answer in time"
                                       : "no connection in time";

        if (http->relay)
                return http->relay->explain(http->relay, &http->endpoint, cause, diag);
        return diag_set(diag, -EHOSTUNREACH, "unable to talk to fleet at %s: %s; %s",
                        http->endpoint.text, cause, remedy(http, code, (int)error));
}

/* Settle what libcurl says of a finished transfer, and free its slot. */
static int slot_finish(Slot *slot, CURLcode code, Diag *diag) {
        HttpRequest *request = TAKE(slot->request);
        int r = 0;

        (void)curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &request->status);
        log_line(LOG_DEBUG, "HTTP %s %s%s %ld", request->method, slot->http->endpoint.base_url,
                 request->path, request->status);

        if (slot->stream_result != 0)
                r = slot->stream_result;
        else if (slot->reply_error != 0)
                r = diag_set(diag, slot->reply_error,
                             "the reply of %s is too large for fleetctl's memory",
                             slot->http->endpoint.text);
        else if (code != CURLE_OK)
                r = http_explain(slot, code, diag);

        (void)curl_multi_remove_handle(slot->http->multi, slot->easy);
        return r;
}

static void http_abandon(Http *http) {
        for (size_t i = 0; i < ELEMENTSOF(http->slots); i++)
                if (TAKE(http->slots[i].request))
                        (void)curl_multi_remove_handle(http->multi, http->slots[i].easy);
}

static Slot *http_free_slot(Http *http) {
        for (size_t i = 0; i < ELEMENTSOF(http->slots); i++) {
                http->slots[i].http = http;
                if (!http->slots[i].request)
                        return &http->slots[i];
        }
        return NULL;
}

/* Let libcurl work, and settle everything that ended. Lowers *n_flying by as many. */
static int http_turn(Http *http, size_t *n_flying, Diag *diag) {
        CURLMsg *message;
        int n, r;

        if (curl_multi_perform(http->multi, &n) != CURLM_OK)
                return -ENOMEM;
        if (http->relay) {
                r = http->relay->serve(http->relay, &http->endpoint, diag);
                if (r < 0)
                        return r;
        }

        while ((message = curl_multi_info_read(http->multi, &n))) {
                CURLcode code = message->data.result;
                Slot *slot = NULL;

                if (message->msg != CURLMSG_DONE)
                        continue;
                (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&slot);
                (*n_flying)--;
                r = slot_finish(slot, code, diag);
                if (r != 0)
                        return r;
        }
        return 0;
}

static int http_run_all(Http *http, HttpRequest *requests, size_t n_requests, Diag *diag) {
        size_t n_started = 0, n_flying = 0;
        int r;

        while (n_started < n_requests || n_flying > 0) {
                Slot *slot;

                while (n_started < n_requests && (slot = http_free_slot(http))) {
                        r = slot_start(slot, &requests[n_started], NULL);
                        if (r < 0)
                                return r;
                        n_started++;
                        n_flying++;
                }

                r = http_turn(http, &n_flying, diag);
                if (r < 0)
                        return r;
                if (n_flying > 0)
                        (void)curl_multi_poll(http->multi, NULL, 0, HTTP_TICK_MS, NULL);
        }
        return 0;
}

int http_run(Http *http, HttpRequest *requests, size_t n_requests, Diag *diag) {
        int r;

        assert(http);

        r = http_run_all(http, requests, n_requests, diag);
        if (r < 0)
                http_abandon(http);
        return r;
}

static int http_stream_until_end(Http *http, HttpStream *stream, Diag *diag) {
        size_t n_flying = 1;
        int r;

        for (;;) {
                r = http_turn(http, &n_flying, diag);
                if (r != 0 || n_flying == 0)
                        return r;

                r = stream->on_tick(stream);
                if (r != 0)
                        return r;

                if (env_now_us(env_system()) - http->last_bytes_us >
                    HTTP_SILENCE_S * (uint64_t)US_PER_S)
                        return diag_set(diag, -ETIMEDOUT,
                                        "fleet at %s has been silent for %d s; check that fleetd "
                                        "is well there",
                                        http->endpoint.text, HTTP_SILENCE_S);

                (void)curl_multi_poll(http->multi, NULL, 0, HTTP_TICK_MS, NULL);
        }
}

int http_stream(Http *http, HttpRequest *request, HttpStream *stream, Diag *diag) {
        Slot *slot;
        int r;

        assert(http);
        assert(stream);

        slot = http_free_slot(http);
        if (!slot)
                return -EBUSY;

        http->last_bytes_us = env_now_us(env_system());
        r = slot_start(slot, request, stream);
        if (r < 0)
                return r;

        r = http_stream_until_end(http, stream, diag);
        http_abandon(http);
        return r;
}
