/* SPDX-License-Identifier: Apache-2.0 */

/* Waiting over the HTTP API: one request, whose reply is a line of JSON per outcome (docs/api.md).
 *
 * A wait may last for hours, longer than a connection or a daemon. To ask again changes nothing, so
 * when the answer breaks off the units without a final outcome are asked for in another request,
 * again and again for a while: a daemon that is being restarted, or that has lost its store, is
 * back within seconds. The trouble counts as over when an outcome comes, or when an answer has
 * lasted for longer than trouble may.
 */

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "fleetctl/client-api.h"
#include "lib/base/env.h"

enum {
        BODY_MAX_BYTES = 64 * 1024 * 1024, /* of one request; the server's limit is lower */
        LINE_MAX_BYTES = 1024 * 1024,      /* of the reply */
        RESUME_PAUSE_MS = 300,             /* between two requests */
};

/* A wait, over all its requests. */
typedef struct ApiWait {
        HttpStream stream;
        Http *http;                 /* borrowed */
        const WaitRequest *request; /* borrowed */
        ClientWaiter *waiter;       /* borrowed */
        Unit *open; /* owned array of what the request borrows: no final outcome yet */
        size_t n_open;
        Buf line;           /* what came of the current line */
        uint64_t begin_us;  /* when the wait began */
        uint64_t asked_us;  /* when the request that is under way was sent */
        uint64_t broken_us; /* since when there is trouble; 0 = there is none */
        Diag *diag;         /* borrowed */
} ApiWait;

static bool outcome_is_final(const char *outcome) {
        static const char *const finals[] = { "reached", "failed", "timeout", "unknown-unit" };

        for (size_t i = 0; i < ELEMENTSOF(finals); i++)
                if (streq(outcome, finals[i]))
                        return true;
        return false;
}

/* A unit may be waited for on several machines. */
static bool is_about(const WaitResult *result, const Unit *unit) {
        return streq(unit->name, result->name) && (!unit->machine_id || !result->machine_id ||
                                                   streq(unit->machine_id, result->machine_id));
}

static void wait_cross_off(ApiWait *wait, const WaitResult *result) {
        for (size_t i = 0; i < wait->n_open; i++) {
                if (!is_about(result, &wait->open[i]))
                        continue;
                wait->n_open--;
                memmove(&wait->open[i], &wait->open[i + 1],
                        (wait->n_open - i) * sizeof(*wait->open));
                return;
        }
}

static int wait_on_result(ApiWait *wait, const WaitResult *result) {
        if (!result->name || !result->outcome)
                return diag_set(wait->diag, -EBADMSG,
                                "the reply to the wait has a line without name or outcome: %s",
                                wait->line.data);

        wait->broken_us = 0;
        if (outcome_is_final(result->outcome))
                wait_cross_off(wait, result);
        return wait->waiter->on_result(wait->waiter, result);
}

static int wait_on_line(ApiWait *wait) {
        WaitResult result = { 0 };
        int r;

        if (wait->line.n_bytes == 0)
                return 0;

        r = wait_result_decode(wait->line.data, wait->line.n_bytes, &result, wait->diag);
        if (r < 0)
                return diag_wrap(wait->diag, r,
                                 "the reply to the wait is not what the fleet API sends");

        r = wait_on_result(wait, &result);
        wait_result_done(&result);
        buf_clear(&wait->line);
        return r;
}

static int wait_on_bytes(HttpStream *stream, const char *bytes, size_t n_bytes) {
        ApiWait *wait = container_of(stream, ApiWait, stream);
        int r;

        while (n_bytes > 0) {
                const char *end = memchr(bytes, '\n', n_bytes);
                size_t n = end ? (size_t)(end - bytes) : n_bytes;

                r = buf_append(&wait->line, bytes, n);
                if (r == 0 && end)
                        r = wait_on_line(wait);
                if (r != 0)
                        return r;

                bytes += n + (end != NULL);
                n_bytes -= n + (end != NULL);
        }
        return 0;
}

static int wait_on_tick(HttpStream *stream) {
        ApiWait *wait = container_of(stream, ApiWait, stream);

        return wait->waiter->on_tick(wait->waiter);
}

/* What is left of the time that the server was given; it may not become 0, which is for ever. */
static uint64_t wait_left_ms(const ApiWait *wait) {
        uint64_t passed_ms = (wait->asked_us - wait->begin_us) / US_PER_MS;

        if (wait->request->timeout_ms == 0)
                return 0;
        return passed_ms < wait->request->timeout_ms ? wait->request->timeout_ms - passed_ms : 1;
}

/* Ask for the open units, and read what comes. */
static int wait_ask(ApiWait *wait) {
        _cleanup_(buf_done) Buf body = buf_make(BODY_MAX_BYTES);
        HttpRequest http_request = { .method = "POST", .path = "/fleet/v1/wait" };
        WaitRequest request = *wait->request;
        int r;

        wait->asked_us = env_now_us(env_system());
        buf_clear(&wait->line);
        request.timeout_ms = wait_left_ms(wait);
        request.units = wait->open;
        request.n_units = wait->n_open;
        r = wait_request_encode(&request, &body);
        if (r < 0)
                return r;

        http_request.body = body.data;
        http_request.n_body_bytes = body.n_bytes;
        r = http_stream(wait->http, &http_request, &wait->stream, wait->diag);
        if (r == 0)
                r = api_reply_check(&http_request, wait->diag);
        if (r == 0)
                r = wait_on_line(wait);
        if (r == 0 && wait->n_open > 0)
                r = diag_set(wait->diag, -EPIPE,
                             "fleet ended its answer before the outcome of %zu of %zu units was "
                             "known; 'fleetctl list-units' shows where they are",
                             wait->n_open, wait->request->n_units);

        buf_done(&http_request.reply);
        return r;
}

/* Is it worth asking again? Tells the waiter when trouble begins. */
static bool wait_may_resume(ApiWait *wait, int error, uint64_t resume_ms) {
        uint64_t now_us = env_now_us(env_system()), resume_us = resume_ms * US_PER_MS;

        if (error != -EHOSTUNREACH && error != -EAGAIN && error != -EPIPE)
                return false;

        if (wait->broken_us == 0 || now_us - wait->asked_us > resume_us) {
                wait->broken_us = now_us;
                if (wait->waiter->on_break)
                        wait->waiter->on_break(wait->waiter, wait->diag, resume_ms);
        }
        return now_us - wait->broken_us < resume_us;
}

static int wait_pause(ApiWait *wait) {
        (void)poll(NULL, 0, RESUME_PAUSE_MS);
        return wait->waiter->on_tick(wait->waiter);
}

int api_wait(Http *http, const WaitRequest *request, uint64_t resume_ms, ClientWaiter *waiter,
             Diag *diag) {
        Diag local = { 0 };
        ApiWait wait = {
                .stream = { wait_on_bytes, wait_on_tick },
                .http = http,
                .request = request,
                .waiter = waiter,
                .n_open = request->n_units,
                .line = buf_make(LINE_MAX_BYTES),
                .begin_us = env_now_us(env_system()),
                .diag = diag ? diag : &local,
        };
        int r;

        wait.open = calloc(request->n_units, sizeof(*wait.open));
        if (!wait.open)
                return -ENOMEM;
        memcpy(wait.open, request->units, request->n_units * sizeof(*wait.open));

        for (;;) {
                r = wait_ask(&wait);
                if (r >= 0 || !wait_may_resume(&wait, r, resume_ms))
                        break;
                r = wait_pause(&wait);
                if (r != 0)
                        break;
        }

        free(wait.open);
        buf_done(&wait.line);
        return r;
}
