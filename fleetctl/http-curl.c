/* SPDX-License-Identifier: Apache-2.0 */

/* HTTP by libcurl. Only the http-*.c of fleetctl include curl.
 *
 * One multi handle keeps the connections alive across requests; a slot is an easy handle with the
 * request that it carries. Requests are taken into free slots in order, so 1,000 of them cost 32
 * connections and no thread. A stream is a single slot whose bytes go to its reader. What one call
 * carries out is a batch; the reader of a stream may start another one from within.
 *
 * Nothing has a limit on how long it takes as a whole, for lists and uploads may be long; what is
 * limited is silence. A batch has a clock that starts again with every sign of life that the API
 * gives to any of its requests. A question that finds no ear (the socket refuses while fleetd is
 * being restarted, the API answers 503 while the store elects a leader) is asked again until that
 * clock runs out. A change is asked for again only when it is certain that nothing was done the
 * first time; and since fleetd may wait for its store before it can say how a change went, a change
 * is waited for longer, with a word about that.
 */

#include "fleetctl/http.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fleetctl/endpoint.h"
#include "fleetctl/http-explain.h"
#include "fleetctl/http-tls.h"
#include "lib/base/env.h"
#include "lib/base/log.h"

enum {
        URL_MAX_BYTES = 16 * 1024,
        RETRY_FIRST_MS = 50,
        RETRY_MOST_MS = 400,
};

/* Requests that one call carries out. */
typedef struct Batch {
        size_t n_open;    /* in slots, not settled */
        uint64_t life_us; /* when the API last gave a sign of life */
        int result;    /* of the first request that failed, or what a stream's callback returned */
        Diag *diag;    /* borrowed */
        bool has_said; /* a person knows what is waited for */
} Batch;

/* An easy handle and what it carries now. */
typedef struct Slot {
        Http *http;           /* borrowed */
        CURL *easy;           /* owned; NULL until first used */
        HttpRequest *request; /* borrowed; NULL while the slot is free */
        HttpStream *stream;   /* borrowed; NULL unless the reply is a stream */
        Batch *batch;         /* borrowed */
        curl_off_t n_moved;   /* bytes of bodies, both ways */
        unsigned n_tries;
        uint64_t retry_us;           /* when to try again; 0 = it is under way */
        Buf refusal;                 /* body of the last 503, while it is asked again */
        int stream_result;           /* what the stream's callback returned, if not 0 */
        int reply_error;             /* why the reply could not be kept, or 0 */
        char error[CURL_ERROR_SIZE]; /* libcurl's words */
} Slot;

struct Http {
        Endpoint endpoint;
        HttpRelay *relay;           /* borrowed; NULL = connections are direct */
        const Options *options;     /* borrowed */
        uint64_t patience_us;       /* longest silence */
        CURLM *multi;               /* owned */
        struct curl_slist *headers; /* owned; of requests with a body */
        Slot slots[HTTP_PARALLEL_MAX];
};

Http *http_free(Http *http) {
        if (!http)
                return NULL;

        for (size_t i = 0; i < ELEMENTSOF(http->slots); i++)
                curl_easy_cleanup(http->slots[i].easy);
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
        if (r == 0)
                r = http_tls_check(options, &http->endpoint, diag);
        if (r < 0)
                return r;

        /* A tenth is kept for saying so: whoever gives 3 s has the message after 3 s. */
        http->patience_us = options->request_timeout_ms * US_PER_MS / 10 * 9;
        http->options = options;
        if (curl_global_init(http->endpoint.is_tls ? CURL_GLOBAL_SSL : CURL_GLOBAL_NOTHING) !=
            CURLE_OK)
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

/* A question may be asked twice, and what is removed twice is removed (RFC 9110, 9.2.2). */
static bool request_is_repeatable(const HttpRequest *request) {
        return streq(request->method, "GET") || streq(request->method, "DELETE");
}

static long slot_status(const Slot *slot) {
        long status = 0;

        (void)curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
        return status;
}

/* libcurl calls this on every turn; bytes of a body that moved are a sign of life, unless they only
 * say that there is none. */
static int slot_on_progress(void *userdata, curl_off_t down_total, curl_off_t down,
                            curl_off_t up_total, curl_off_t up) {
        Slot *slot = userdata;

        (void)down_total;
        (void)up_total;
        if (down + up == slot->n_moved)
                return 0;

        slot->n_moved = down + up;
        if (slot_status(slot) != HTTP_STATUS_UNAVAILABLE)
                slot->batch->life_us = env_now_us(env_system());
        return 0;
}

static size_t slot_on_bytes(char *bytes, size_t size, size_t n, void *userdata) {
        Slot *slot = userdata;
        size_t n_bytes = size * n;

        if (slot->stream && slot_status(slot) == HTTP_STATUS_OK) {
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
        (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
        (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        (void)curl_easy_setopt(easy, CURLOPT_USERAGENT, "fleetctl/" FLEET_VERSION);
        (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        (void)curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
        (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                               (long)(slot->http->patience_us / US_PER_MS));
        (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, slot->error);
        (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, slot_on_bytes);
        (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, slot);
        (void)curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
        (void)curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, slot_on_progress);
        (void)curl_easy_setopt(easy, CURLOPT_XFERINFODATA, slot);
        (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, slot);
        if (slot->http->relay)
                (void)curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH,
                                       slot->http->relay->socket_path);
        else if (endpoint->socket_path)
                (void)curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, endpoint->socket_path);
        if (endpoint->is_tls)
                http_tls_apply(easy, slot->http->options);
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

        /* When a connection that was used before breaks, libcurl sends the request again on
         * another; that could make a change twice. */
        if (!slot->stream && !request_is_repeatable(request))
                (void)curl_easy_setopt(slot->easy, CURLOPT_FRESH_CONNECT, 1L);
}

/* Send the slot's request, for the first time or again. */
static int slot_send(Slot *slot) {
        Http *http = slot->http;
        _cleanup_(buf_done) Buf url = buf_make(URL_MAX_BYTES);
        int r;

        r = buf_printf(&url, "%s%s", http->endpoint.base_url, slot->request->path);
        if (r < 0)
                return r;

        if (slot->easy)
                curl_easy_reset(slot->easy);
        else
                slot->easy = curl_easy_init();
        if (!slot->easy)
                return -ENOMEM;

        slot->n_moved = 0;
        slot->n_tries++;
        slot->retry_us = 0;
        slot->stream_result = slot->reply_error = 0;
        slot->error[0] = '\0';
        slot_set_basics(slot, url.data);
        slot_set_body(slot);

        log_line(LOG_DEBUG, "HTTP %s %s", slot->request->method, url.data);
        return curl_multi_add_handle(http->multi, slot->easy) == CURLM_OK ? 0 : -ENOMEM;
}

static int slot_start(Slot *slot, HttpRequest *request, HttpStream *stream, Batch *batch) {
        int r;

        assert(!slot->request);

        request->reply = buf_make(HTTP_REPLY_MAX_BYTES);
        slot->refusal = buf_make(HTTP_REPLY_MAX_BYTES);
        slot->request = request;
        slot->stream = stream;
        slot->batch = batch;
        slot->n_tries = 0;
        batch->n_open++;

        r = slot_send(slot);
        if (r < 0) {
                slot->request = NULL;
                batch->n_open--;
        }
        return r;
}

/* The request is over, for better or worse. */
static void slot_settle(Slot *slot, int result) {
        slot->request = NULL;
        buf_done(&slot->refusal);
        slot->batch->n_open--;
        if (slot->batch->result == 0)
                slot->batch->result = result;
}

static HttpFailure slot_failure(const Slot *slot, CURLcode code) {
        curl_off_t connect_us = 0;
        long error = 0, verify_result = 0, n_sent = 0, port = 0;

        (void)curl_easy_getinfo(slot->easy, CURLINFO_OS_ERRNO, &error);
        (void)curl_easy_getinfo(slot->easy, CURLINFO_SSL_VERIFYRESULT, &verify_result);
        (void)curl_easy_getinfo(slot->easy, CURLINFO_CONNECT_TIME_T, &connect_us);
        (void)curl_easy_getinfo(slot->easy, CURLINFO_REQUEST_SIZE, &n_sent);
        /* Before the TLS handshake is done only the port shows that the connection stands. */
        (void)curl_easy_getinfo(slot->easy, CURLINFO_LOCAL_PORT, &port);

        return (HttpFailure){
                .endpoint = &slot->http->endpoint,
                .words = slot->error[0] ? slot->error : curl_easy_strerror(code),
                .code = (int)code,
                .error = (int)error,
                .verify_result = verify_result,
                .waited_ms = slot->http->patience_us / US_PER_MS,
                .is_connected = connect_us > 0 || n_sent > 0 || port > 0,
                .is_sent = n_sent > 0,
                .is_change = !slot->stream && !streq(slot->request->method, "GET"),
        };
}

/* What happens to a connection on its way, the relay knows better. */
static int slot_explain(const Slot *slot, const HttpFailure *failure) {
        HttpRelay *relay = slot->http->relay;
        Diag cause = { 0 };

        if (!relay || !http_failure_is_of_connection(failure))
                return http_explain(failure, slot->batch->diag);
        http_cause(failure, &cause);
        return relay->explain(relay, &slot->http->endpoint, cause.message, slot->batch->diag);
}

static uint64_t batch_silence_us(const Batch *batch) {
        return env_now_us(env_system()) - batch->life_us;
}

/* Say once, where somebody watches, that there is something to wait for. */
static void batch_say_trying(Batch *batch, const Http *http, const char *why) {
        if (batch->has_said || !isatty(STDERR_FILENO))
                return;
        batch->has_said = true;
        (void)fprintf(stderr, "fleet at %s: %s; trying again for %g s\n", http->endpoint.text, why,
                      (double)http->patience_us / US_PER_S);
}

/* Is there time for another try, and may there be one? `code` and `failure` say how this one went;
 * without a failure the API answered 503. */
static bool slot_may_retry(const Slot *slot, CURLcode code, const HttpFailure *failure,
                           uint64_t delay_us) {
        bool is_repeatable = request_is_repeatable(slot->request);

        if (slot->stream || batch_silence_us(slot->batch) + delay_us > slot->http->patience_us)
                return false;
        if (failure) /* a relay has told its own story of it by now */
                return !slot->http->relay && http_failure_is_passing(failure) &&
                       (is_repeatable || code == CURLE_COULDNT_CONNECT);

        return is_repeatable || slot->request->was_turned_away;
}

static bool slot_retry(Slot *slot, CURLcode code, const HttpFailure *failure) {
        unsigned shift = slot->n_tries < 4 ? slot->n_tries - 1 : 3;
        uint64_t delay_us = (uint64_t)(RETRY_FIRST_MS << shift) * US_PER_MS;

        if (!slot_may_retry(slot, code, failure, delay_us))
                return false;

        if (slot->n_tries > 1)
                batch_say_trying(slot->batch, slot->http,
                                 !failure             ? "it answers 503 for now"
                                 : failure->error > 0 ? strerror(failure->error)
                                                      : failure->words);
        if (!failure) {
                buf_done(&slot->refusal);
                slot->refusal = slot->request->reply;
        } else {
                buf_done(&slot->request->reply);
        }
        slot->request->reply = buf_make(HTTP_REPLY_MAX_BYTES);
        slot->retry_us = env_now_us(env_system()) + delay_us;
        return true;
}

/* Look at how a transfer ended: another try, or the end. */
static void slot_finish(Slot *slot, CURLcode code) {
        HttpRequest *request = slot->request;
        curl_off_t retry_after_s = 0;
        HttpFailure failure;

        request->status = slot_status(slot);
        (void)curl_easy_getinfo(slot->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
        request->was_turned_away = request->status == HTTP_STATUS_UNAVAILABLE && retry_after_s > 0;
        /* An answer is a sign of life even if it has no body, as that to a removal. */
        if (request->status > 0 && request->status != HTTP_STATUS_UNAVAILABLE)
                slot->batch->life_us = env_now_us(env_system());
        log_line(LOG_DEBUG, "HTTP %s %s%s %ld", request->method, slot->http->endpoint.base_url,
                 request->path, request->status);
        (void)curl_multi_remove_handle(slot->http->multi, slot->easy);

        if (slot->stream_result != 0) {
                slot_settle(slot, slot->stream_result);
        } else if (slot->reply_error != 0) {
                slot_settle(slot, diag_set(slot->batch->diag, slot->reply_error,
                                           "the reply of %s is too large for fleetctl's memory",
                                           slot->http->endpoint.text));
        } else if (code != CURLE_OK) {
                failure = slot_failure(slot, code);
                if (!slot_retry(slot, code, &failure))
                        slot_settle(slot, slot_explain(slot, &failure));
        } else if (request->status != HTTP_STATUS_UNAVAILABLE || !slot_retry(slot, code, NULL)) {
                slot_settle(slot, 0);
        }
}

/* The silence has lasted too long. Where the API said 503 before, that is the better answer. */
static void slot_give_up(Slot *slot, uint64_t limit_us) {
        HttpFailure failure = slot_failure(slot, CURLE_OPERATION_TIMEDOUT);

        (void)curl_multi_remove_handle(slot->http->multi, slot->easy);
        if (slot->refusal.n_bytes > 0) {
                buf_done(&slot->request->reply);
                slot->request->reply = slot->refusal;
                slot->refusal = buf_make(0);
                slot->request->status = HTTP_STATUS_UNAVAILABLE;
                slot_settle(slot, 0);
                return;
        }

        failure.waited_ms = limit_us / US_PER_MS;
        slot_settle(slot, slot_explain(slot, &failure));
}

/* How much silence this request stands. */
static uint64_t slot_limit_us(const Slot *slot) {
        uint64_t patience_us = slot->http->patience_us;
        uint64_t long_us = (slot->stream ? HTTP_SILENCE_S : HTTP_CHANGE_S) * (uint64_t)US_PER_S;
        bool is_long = slot->stream
                               ? slot_status(slot) == HTTP_STATUS_OK
                               : !request_is_repeatable(slot->request) || slot->request->is_slow;

        return is_long && long_us > patience_us ? long_us : patience_us;
}

static int slot_look_after(Slot *slot) {
        uint64_t silence_us = batch_silence_us(slot->batch), limit_us;

        if (slot->retry_us > 0)
                return env_now_us(env_system()) < slot->retry_us ? 0 : slot_send(slot);

        limit_us = slot_limit_us(slot);
        if (silence_us > limit_us) {
                slot_give_up(slot, limit_us);
        } else if (silence_us > slot->http->patience_us && !slot->stream &&
                   !slot->batch->has_said) {
                slot->batch->has_said = true;
                (void)fprintf(stderr,
                              "fleet at %s has the request and does not answer yet; waiting for "
                              "at most %d s\n",
                              slot->http->endpoint.text, HTTP_CHANGE_S);
        }
        return 0;
}

/* Take the requests of a batch that are still under way out of their slots. */
static void http_abandon(Http *http, const Batch *batch) {
        for (size_t i = 0; i < ELEMENTSOF(http->slots); i++) {
                Slot *slot = &http->slots[i];

                if (slot->batch != batch || !slot->request)
                        continue;
                if (slot->retry_us == 0)
                        (void)curl_multi_remove_handle(http->multi, slot->easy);
                buf_done(&slot->refusal);
                slot->request = NULL;
        }
}

static Slot *http_free_slot(Http *http) {
        for (size_t i = 0; i < ELEMENTSOF(http->slots); i++) {
                http->slots[i].http = http;
                if (!http->slots[i].request)
                        return &http->slots[i];
        }
        return NULL;
}

/* Let libcurl work, and look at everything that ended or is due. */
static int http_turn(Http *http, Diag *diag) {
        CURLMsg *message;
        int n, r = 0;

        if (curl_multi_perform(http->multi, &n) != CURLM_OK)
                return -ENOMEM;
        if (http->relay) {
                r = http->relay->serve(http->relay, &http->endpoint, diag);
                if (r < 0)
                        return r;
        }

        while ((message = curl_multi_info_read(http->multi, &n))) {
                Slot *slot = NULL;

                if (message->msg != CURLMSG_DONE)
                        continue;
                (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&slot);
                slot_finish(slot, message->data.result);
        }

        for (size_t i = 0; r == 0 && i < ELEMENTSOF(http->slots); i++)
                if (http->slots[i].request)
                        r = slot_look_after(&http->slots[i]);
        return r;
}

static int http_run_batch(Http *http, HttpRequest *requests, size_t n_requests, Batch *batch) {
        size_t n_started = 0;
        Slot *slot;
        int r;

        while (batch->result == 0 && (n_started < n_requests || batch->n_open > 0)) {
                while (n_started < n_requests && (slot = http_free_slot(http))) {
                        r = slot_start(slot, &requests[n_started], NULL, batch);
                        if (r < 0)
                                return r;
                        n_started++;
                }

                r = http_turn(http, batch->diag);
                if (r < 0)
                        return r;
                if (batch->result == 0 && batch->n_open > 0)
                        (void)curl_multi_poll(http->multi, NULL, 0, HTTP_TICK_MS, NULL);
        }
        return batch->result;
}

int http_run(Http *http, HttpRequest *requests, size_t n_requests, Diag *diag) {
        Batch batch = { .life_us = env_now_us(env_system()), .diag = diag };
        int r;

        assert(http);

        r = http_run_batch(http, requests, n_requests, &batch);
        http_abandon(http, &batch);
        return r;
}

int http_stream(Http *http, HttpRequest *request, HttpStream *stream, Diag *diag) {
        Batch batch = { .life_us = env_now_us(env_system()), .diag = diag };
        Slot *slot;
        int r;

        assert(http);
        assert(stream);

        slot = http_free_slot(http);
        if (!slot)
                return -EBUSY;

        r = slot_start(slot, request, stream, &batch);
        while (r == 0 && batch.n_open > 0) {
                r = http_turn(http, diag);
                if (r == 0 && batch.n_open > 0)
                        r = stream->on_tick(stream);
                if (r == 0 && batch.n_open > 0)
                        (void)curl_multi_poll(http->multi, NULL, 0, HTTP_TICK_MS, NULL);
        }

        http_abandon(http, &batch);
        return r != 0 ? r : batch.result;
}
