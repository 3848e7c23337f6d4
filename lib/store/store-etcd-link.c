/* SPDX-License-Identifier: Apache-2.0 */

/* The link: one connection to one member, and the way to the next.
 *
 * Nothing is sent over a connection before the member has proven that it is alive and knows of a
 * leader: it answers a status call with `hasleader`, or, with a username, the authentication. So
 * requests that come while a member is dead, hung or cut off wait for the next one instead of being
 * lost in it; a write that waits can still be said to be certainly not made.
 *
 * A member that does not serve is *suspect*: it let a deadline pass, ended the watch stream,
 * reported to be unavailable, broke the protocol or the connection. Whoever notices calls
 * etcd_link_suspect(), which acts in the next turn (nobody tears a channel down from below one of
 * its callbacks): the channel is aborted, which ends all its calls, and the next endpoint is tried,
 * after a pause when all have failed in a row. A connection has to serve for ETCD_STEADY_US before
 * it counts as a success, so that a member which answers once and then fails cannot keep a client
 * spinning.
 *
 * Tokens: etcd forgets them on restarts and after some minutes without use. Who is refused for the
 * token calls etcd_link_reauthenticate(); everything waits and both streams begin anew, since a
 * stream keeps the token that it was started with.
 */

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/store/store-etcd-outcome.h"
#include "lib/store/store-etcd-private.h"

static void link_connect(EtcdStore *etcd);

static EtcdStore *etcd_of_link(EtcdLink *link) {
        return container_of(link, EtcdStore, link);
}

void etcd_link_done(EtcdLink *link) {
        timer_clear(&link->retry);
        loop_defer_cancel(&link->teardown);
        grpc_call_done(&link->proof);
        free(TAKE(link->answer));
        link->channel = grpc_channel_free(link->channel);
        link->state = ETCD_LINK_OFF;
}

bool etcd_link_is_ready(const EtcdStore *etcd) {
        return etcd->link.state == ETCD_LINK_READY;
}

/* Says that the endpoint is of no use, once for each reason. May close the store. */
static void link_tell_trouble(EtcdStore *etcd, const char *url, bool is_new) {
        char detail[sizeof etcd->link.reason + 256];

        (void)snprintf(detail, sizeof detail, "%s: %s", url, etcd->link.reason);
        if (etcd->store.is_connected)
                store_set_connected(&etcd->store, false, detail);
        else if (is_new)
                store_tell_trouble(&etcd->store, detail);
}

/* What was configured meanwhile comes into force. Returns whether there is anything. */
static bool link_take_access(EtcdStore *etcd) {
        if (etcd->next.endpoints.n_items == 0)
                return false;

        etcd_access_done(&etcd->access);
        etcd->access = etcd->next;
        etcd->next = (EtcdAccess){ 0 };
        return true;
}

static void link_retry_in(EtcdStore *etcd, uint64_t delay_us) {
        EtcdLink *link = &etcd->link;

        log_line(LOG_DEBUG, "etcd: trying %s in %u ms",
                 etcd_endpoints_current(&etcd->access.endpoints)->url,
                 (unsigned)(delay_us / US_PER_MS));
        link->state = ETCD_LINK_BACKOFF;
        timer_set_in(etcd->store.loop, &link->retry, delay_us);
}

/* Drops the connection and turns to the next member. */
static void link_tear_down(EtcdStore *etcd) {
        EtcdLink *link = &etcd->link;
        const char *url = etcd_endpoints_current(&etcd->access.endpoints)->url;
        Env *env = loop_env(etcd->store.loop);
        bool is_new_trouble;
        uint64_t delay_us;

        link->state = ETCD_LINK_SUSPECT;
        if (link->channel)
                grpc_channel_abort(link->channel, link->reason);
        link->channel = grpc_channel_free(link->channel);
        if (etcd->store.is_closing)
                return;

        if (link->ready_since_us > 0 &&
            loop_now_us(etcd->store.loop) - link->ready_since_us >= ETCD_STEADY_US)
                etcd_endpoints_succeed(&etcd->access.endpoints);
        link->ready_since_us = 0;
        is_new_trouble = etcd_endpoints_note_trouble(&etcd->access.endpoints, link->reason);
        delay_us = etcd_endpoints_fail(&etcd->access.endpoints, env);

        log_line(LOG_DEBUG, "etcd: gave up %s: %s", url, link->reason);
        link_tell_trouble(etcd, url, is_new_trouble);
        if (etcd->store.is_closing)
                return;
        if (link_take_access(etcd))
                delay_us = 0;
        link_retry_in(etcd, delay_us);
}

static void link_on_teardown(LoopDeferred *deferred) {
        link_tear_down(etcd_of_link(container_of(deferred, EtcdLink, teardown)));
}

void etcd_link_suspect(EtcdStore *etcd, const char *reason) {
        EtcdLink *link = &etcd->link;

        if (link->state != ETCD_LINK_PROVING && link->state != ETCD_LINK_READY)
                return;

        link->state = ETCD_LINK_SUSPECT;
        (void)snprintf(link->reason, sizeof link->reason, "%s", reason);
        loop_defer(etcd->store.loop, &link->teardown);
}

static void link_on_lost(GrpcChannel *channel, const char *reason, void *userdata) {
        (void)channel;

        etcd_link_suspect(userdata, reason);
}

static void link_become_ready(EtcdStore *etcd) {
        EtcdLink *link = &etcd->link;

        link->state = ETCD_LINK_READY;
        if (link->ready_since_us == 0)
                link->ready_since_us = loop_now_us(etcd->store.loop);
        if (etcd->store.is_closing)
                return;

        etcd_endpoints_forget_trouble(&etcd->access.endpoints);
        store_set_connected(&etcd->store, true,
                            etcd_endpoints_current(&etcd->access.endpoints)->url);
        if (etcd->store.is_closing)
                return;

        etcd_leases_on_ready(etcd);
        etcd_watches_on_ready(etcd);
        etcd_calls_on_ready(etcd);
}

/* The user's name or password is wrong: nothing that waits will ever get through. */
static void link_on_denied(EtcdStore *etcd, const char *message) {
        char reason[sizeof etcd->link.reason];

        (void)snprintf(reason, sizeof reason, "it refuses the user name \"%s\" or the password: %s",
                       etcd->access.username, message);
        etcd_link_suspect(etcd, reason);
        etcd_calls_on_denied(etcd);
        etcd_leases_on_denied(etcd);
        etcd_watches_on_denied(etcd);
}

/* A token goes into a header: printable ASCII, and not without end. */
static bool token_is_valid(const char *token) {
        size_t n = strlen(token);

        if (n == 0 || n > 4096)
                return false;
        for (size_t i = 0; i < n; i++)
                if (token[i] < '!' || token[i] > '~')
                        return false;
        return true;
}

static int link_take_token(EtcdStore *etcd, const GrpcMessage *answer) {
        _cleanup_(freep) char *token = NULL;
        int r;

        r = etcd_decode_authenticate(answer, &token);
        if (r < 0)
                return r;
        if (!token_is_valid(token))
                return -EBADMSG;

        etcd->link.token_number++;
        etcd->link.token_since_us = loop_now_us(etcd->store.loop);
        return grpc_channel_set_metadata(etcd->link.channel, "token", token);
}

static bool status_denies(const GrpcStatus *status) {
        return !status->is_local &&
               (status->code == GRPC_INVALID_ARGUMENT || status->code == GRPC_PERMISSION_DENIED ||
                status->code == GRPC_UNAUTHENTICATED);
}

static void link_on_authenticated(EtcdStore *etcd, const GrpcStatus *status,
                                  const GrpcMessage *answer) {
        if (status->code == GRPC_FAILED_PRECONDITION && !status->is_local) {
                link_become_ready(etcd); /* authentication is not enabled: everything is allowed */
                return;
        }
        if (status_denies(status)) {
                link_on_denied(etcd, status->message);
                return;
        }
        if (status->code != GRPC_OK) {
                etcd_link_suspect(etcd, status->message);
                return;
        }

        if (answer && link_take_token(etcd, answer) == 0)
                link_become_ready(etcd);
        else
                etcd_link_suspect(etcd, "it sent no usable token");
}

static void link_on_proof_message(GrpcCall *call, GrpcMessage *message) {
        EtcdLink *link = container_of(call, EtcdLink, proof);

        free(link->answer);
        link->answer = message;
}

static void link_on_proof_ended(GrpcCall *call, const GrpcStatus *status) {
        EtcdLink *link = container_of(call, EtcdLink, proof);
        _cleanup_(freep) GrpcMessage *answer = TAKE(link->answer);
        EtcdStore *etcd = etcd_of_link(link);

        grpc_call_done(call);
        if (link->state != ETCD_LINK_PROVING)
                return;

        if (etcd->access.username)
                link_on_authenticated(etcd, status, answer);
        else if (etcd_status_blames_member(status, ETCD_PROOF_TIMEOUT_US))
                etcd_link_suspect(etcd, status->message);
        else
                link_become_ready(etcd); /* also when it denies: it is alive */
}

static const GrpcCallVtable proof_vtable = {
        .message = link_on_proof_message,
        .ended = link_on_proof_ended,
};

/* Has the member prove itself. */
static int link_prove(EtcdStore *etcd) {
        EtcdLink *link = &etcd->link;
        bool all_failed = etcd->access.endpoints.n_failures >= etcd->access.endpoints.n_items;
        int r;

        grpc_call_init(&link->proof, &proof_vtable,
                       etcd->access.username ? "/etcdserverpb.Auth/Authenticate"
                                             : "/etcdserverpb.Maintenance/Status",
                       true);
        r = etcd->access.username ? etcd_encode_authenticate(&link->proof, etcd->access.username,
                                                             etcd->access.password)
                                  : etcd_encode_status(&link->proof);
        if (r == 0)
                r = grpc_call_start(link->channel, &link->proof,
                                    ETCD_PROOF_TIMEOUT_US * (all_failed ? 2 : 1));
        if (r < 0)
                grpc_call_done(&link->proof);
        return r;
}

static void link_connect(EtcdStore *etcd) {
        EtcdLink *link = &etcd->link;
        const EtcdEndpoint *endpoint = etcd_endpoints_current(&etcd->access.endpoints);
        const EtcdTls *paths = &etcd->access.tls;
        const StreamTls tls = {
                .module = paths->module,
                .ca_path = paths->ca_path,
                .cert_path = paths->cert_path,
                .key_path = paths->key_path,
        };
        const GrpcTarget target = {
                .host = endpoint->host,
                .port = endpoint->port,
                .tls = endpoint->is_tls ? &tls : NULL,
        };
        int r;

        assert(!link->channel);

        link->state = ETCD_LINK_PROVING;
        r = grpc_channel_connect(&link->channel, etcd->store.loop, &target, ETCD_CONNECT_TIMEOUT_US,
                                 link_on_lost, etcd);
        if (r == 0)
                r = grpc_channel_set_metadata(link->channel, "hasleader", "true");
        if (r == 0)
                r = link_prove(etcd);
        if (r < 0)
                etcd_link_suspect(etcd, strerror(-r));
}

static void link_on_retry(LoopTimer *timer) {
        link_connect(etcd_of_link(container_of(timer, EtcdLink, retry)));
}

void etcd_link_init(EtcdLink *link) {
        link->retry.fn = link_on_retry;
        link->teardown.fn = link_on_teardown;
}

void etcd_link_use(EtcdStore *etcd) {
        if (etcd->link.state == ETCD_LINK_OFF)
                link_connect(etcd);
}

void etcd_link_note_denial(EtcdStore *etcd, const char *message) {
        EtcdLink *link = &etcd->link;
        char why[sizeof link->reason], detail[sizeof link->reason + 256];
        const char *user = etcd->access.username;

        (void)snprintf(why, sizeof why, "it denies %s%s%s what is asked of it: %s",
                       user ? "user \"" : "us", user ? user : "", user ? "\"" : "", message);
        if (!etcd_endpoints_note_trouble(&etcd->access.endpoints, why))
                return;

        (void)snprintf(detail, sizeof detail, "%s: %s",
                       etcd_endpoints_current(&etcd->access.endpoints)->url, why);
        store_tell_trouble(&etcd->store, detail);
}

bool etcd_link_has_other_token(const EtcdStore *etcd, unsigned token_number) {
        const EtcdLink *link = &etcd->link;

        return token_number != link->token_number ||
               loop_now_us(etcd->store.loop) - link->token_since_us >= ETCD_TOKEN_AGED_US;
}

void etcd_link_reauthenticate(EtcdStore *etcd, unsigned token_number) {
        EtcdLink *link = &etcd->link;

        assert(etcd->access.username);

        if (link->state != ETCD_LINK_READY || token_number != link->token_number)
                return;

        link->state = ETCD_LINK_PROVING;
        (void)grpc_channel_set_metadata(link->channel, "token", NULL);
        etcd_leases_restart(etcd);
        etcd_watches_restart(etcd);
        if (link_prove(etcd) < 0)
                etcd_link_suspect(etcd, "out of memory");
}

static bool is_same_tls(const EtcdTls *a, const EtcdTls *b) {
        return streq_optional(a->module, b->module) && streq_optional(a->ca_path, b->ca_path) &&
               streq_optional(a->cert_path, b->cert_path) &&
               streq_optional(a->key_path, b->key_path);
}

/* Would another connection be the same as this one? */
static bool link_serves(const EtcdAccess *access, const EtcdAccess *next, size_t *ret_i) {
        const char *url = etcd_endpoints_current(&access->endpoints)->url;

        if (!streq_optional(access->username, next->username) ||
            !streq_optional(access->password, next->password) ||
            (etcd_endpoints_current(&access->endpoints)->is_tls &&
             !is_same_tls(&access->tls, &next->tls)))
                return false;

        for (size_t i = 0; i < next->endpoints.n_items; i++)
                if (streq(next->endpoints.items[i].url, url)) {
                        *ret_i = i;
                        return true;
                }
        return false;
}

void etcd_link_change(EtcdStore *etcd) {
        EtcdLink *link = &etcd->link;

        switch (link->state) {
        case ETCD_LINK_PROVING:
        case ETCD_LINK_READY:
                if (link_serves(&etcd->access, &etcd->next, &etcd->next.endpoints.current))
                        (void)link_take_access(etcd);
                else
                        etcd_link_suspect(etcd, "it was configured anew");
                return;
        case ETCD_LINK_SUSPECT:
                return; /* taken when it is torn down */
        case ETCD_LINK_BACKOFF:
                (void)link_take_access(etcd);
                link_retry_in(etcd, 0);
                return;
        case ETCD_LINK_OFF:
                (void)link_take_access(etcd);
        }
}
