/* SPDX-License-Identifier: Apache-2.0 */

/* Unary calls. A request waits until the link is ready, flies, and ends:
 *
 *     waiting --link ready--> flying --answer--> done
 *        ^  \                   |  \--refused, failed--> done (store-etcd-outcome.c)
 *        |   deadline           |
 *        |   = UNREACHABLE      |
 *        +----------------------+   not sent; a read, once; refused for its token, until a new one
 *                                   is refused, too
 *
 * A write that may have left is never sent again. Each request has one object, with its encoded
 * message for as long as it may be sent again, and nothing is kept when it ends.
 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "lib/store/store-etcd-outcome.h"
#include "lib/store/store-etcd-private.h"

/* What kinds of calls there are. */
typedef struct EtcdMethod {
        const char *path;
        bool is_write;
        int (*decode)(const GrpcMessage *message, EtcdReply *ret_reply);
} EtcdMethod;

static const EtcdMethod method_range = { "/etcdserverpb.KV/Range", false, etcd_decode_range };
static const EtcdMethod method_txn = { "/etcdserverpb.KV/Txn", true, etcd_decode_txn };
static const EtcdMethod method_grant = { "/etcdserverpb.Lease/LeaseGrant", true,
                                         etcd_decode_lease_grant };
static const EtcdMethod method_revoke = { "/etcdserverpb.Lease/LeaseRevoke", true,
                                          etcd_decode_lease_revoke };
static const EtcdMethod method_look = { "/etcdserverpb.Lease/LeaseTimeToLive", false,
                                        etcd_decode_lease_look };
static const EtcdMethod method_status = { "/etcdserverpb.Maintenance/Status", false,
                                          etcd_decode_status };

enum { READ_ATTEMPTS_MAX = 2 };

/* A request on its way. */
typedef struct EtcdCall {
        EtcdRequestKind kind; /* first: see etcd_cancel() */
        const EtcdMethod *method;
        EtcdStore *etcd;       /* borrowed */
        StoreRequest *request; /* borrowed */
        GrpcCall grpc;
        GrpcMessage *answer; /* owned; or NULL */
        uint64_t deadline_us;
        uint64_t sent_us;
        unsigned n_attempts;   /* that may have reached a member */
        unsigned token_number; /* of the token that it was last sent with */
        bool has_new_token;    /* it was sent again for a fresh token */
        bool is_waiting;       /* in etcd->calls.waiting */
} EtcdCall;

/* Takes the call's object out of everything and frees it; the request remains to be finished. */
static void call_drop(EtcdCall *call) {
        StoreRequest *request = call->request;

        call->etcd->calls.n_waiting -= call->is_waiting;
        timer_clear(&request->deadline);
        list_remove(&request->node);
        request->backend = NULL;
        grpc_call_done(&call->grpc);
        free(call->answer);
        free(call);
}

static void call_finish(EtcdCall *call, int status) {
        StoreRequest *request = call->request;

        call_drop(call);
        store_request_finish(request, status, NULL);
}

static void call_on_deadline(LoopTimer *timer) {
        StoreRequest *request = container_of(timer, StoreRequest, deadline);

        call_finish(request->backend, STORE_E_UNREACHABLE);
}

/* Sends a call that waits, unless the link or the channel is not up to it. */
static bool call_try_send(EtcdCall *call) {
        EtcdStore *etcd = call->etcd;
        StoreRequest *request = call->request;
        uint64_t now_us = loop_now_us(etcd->store.loop);

        if (!etcd_link_is_ready(etcd) || now_us >= call->deadline_us ||
            grpc_call_start(etcd->link.channel, &call->grpc, call->deadline_us - now_us) < 0)
                return false;

        timer_clear(&request->deadline);
        list_remove(&request->node);
        list_append(&etcd->calls.flying, &request->node);
        etcd->calls.n_waiting--;
        call->is_waiting = false;
        call->n_attempts++;
        call->sent_us = now_us;
        call->token_number = etcd->link.token_number;
        return true;
}

/* Puts the call into the queue. */
static void call_wait(EtcdCall *call) {
        EtcdStore *etcd = call->etcd;
        StoreRequest *request = call->request;

        request->deadline.fn = call_on_deadline;
        timer_set_at(etcd->store.loop, &request->deadline, call->deadline_us);
        list_remove(&request->node);
        list_append(&etcd->calls.waiting, &request->node);
        etcd->calls.n_waiting++;
        call->is_waiting = true;
}

static bool call_may_go_again(const EtcdCall *call, const GrpcStatus *status, bool blames_member) {
        if (loop_now_us(call->etcd->store.loop) >= call->deadline_us)
                return false;
        if (status->is_local && !status->may_have_run)
                return true;
        return !call->method->is_write && call->n_attempts < READ_ATTEMPTS_MAX && blames_member;
}

static void call_on_failure(EtcdCall *call, const GrpcStatus *status) {
        EtcdStore *etcd = call->etcd;
        uint64_t elapsed_us = loop_now_us(etcd->store.loop) - call->sent_us;
        bool blames = etcd_status_blames_member(status, call->deadline_us - call->sent_us);
        bool goes_again = call_may_go_again(call, status, blames);

        if (blames)
                etcd_link_suspect(etcd, status->message);

        if (etcd_status_wants_token(status) && etcd->access.username &&
            (!call->has_new_token || etcd_link_has_other_token(etcd, call->token_number))) {
                call->has_new_token = true;
                goes_again = true;
                etcd_link_reauthenticate(etcd, call->token_number);
        }

        if (!goes_again) {
                int outcome = etcd_outcome(status, call->method->is_write, elapsed_us);

                if (outcome == STORE_E_DENIED)
                        etcd_link_note_denial(etcd, status->message);
                call_finish(call, outcome);
                return;
        }

        call_wait(call);
        if (!status->may_have_run)
                call->n_attempts--;
        (void)call_try_send(call);
}

static void call_on_answer(EtcdCall *call) {
        StoreRequest *request = call->request;
        bool is_write = call->method->is_write, is_look = call->method == &method_look;
        EtcdStore *etcd = call->etcd;
        EtcdReply reply;
        int r;

        r = call->method->decode(call->answer, &reply);
        call_drop(call); /* before the callback, so that a large answer is not held twice */
        if (r < 0) {
                etcd_link_suspect(etcd, "it sent an answer that cannot be read");
                store_request_finish(request, is_write ? STORE_E_UNKNOWN : STORE_E_UNREACHABLE,
                                     NULL);
                return;
        }

        if (is_look && reply.reply.lease_ttl_s == 0)
                store_request_finish(request, STORE_E_NO_LEASE, NULL);
        else
                store_request_finish(request, 0, &reply.reply);
        etcd_arena_done(&reply.arena);
}

static void call_on_message(GrpcCall *grpc, GrpcMessage *message) {
        EtcdCall *call = container_of(grpc, EtcdCall, grpc);

        free(call->answer);
        call->answer = message;
}

static void call_on_ended(GrpcCall *grpc, const GrpcStatus *status) {
        EtcdCall *call = container_of(grpc, EtcdCall, grpc);
        EtcdStore *etcd = call->etcd;
        GrpcStatus empty = {
                .code = GRPC_INTERNAL,
                .message = "it sent no answer",
                .is_local = true,
                .may_have_run = true,
        };

        if (status->code == GRPC_OK && call->answer) {
                call_on_answer(call);
        } else {
                free(TAKE(call->answer));
                call_on_failure(call, status->code == GRPC_OK ? &empty : status);
        }

        /* There may be room for what the channel had none for. */
        if (etcd->calls.n_waiting > 0 && etcd_link_is_ready(etcd))
                etcd_calls_on_ready(etcd);
}

static const GrpcCallVtable call_vtable = {
        .message = call_on_message,
        .ended = call_on_ended,
};

static EtcdCall *call_new(EtcdStore *etcd, StoreRequest *request, const EtcdMethod *method,
                          uint64_t timeout_us) {
        EtcdCall *call = calloc(1, sizeof *call);

        if (!call)
                return NULL;

        call->kind = ETCD_REQUEST_CALL;
        call->method = method;
        call->etcd = etcd;
        call->request = request;
        call->deadline_us = loop_now_us(etcd->store.loop) + timeout_us;
        grpc_call_init(&call->grpc, &call_vtable, method->path, true);
        return call;
}

/* Sets a call going whose message was encoded with the result `r`. */
static int call_begin(EtcdCall *call, int r) {
        EtcdStore *etcd = call->etcd;
        StoreRequest *request = call->request;
        bool is_full = etcd->calls.n_waiting >= ETCD_WAITING_MAX;

        request->backend = call;
        if (r < 0 || is_full) {
                call_drop(call);
                if (r < 0 && r != -EMSGSIZE && r != -ENOBUFS)
                        return r;
                etcd_finish_later(request, r < 0 ? STORE_E_TOO_LARGE : STORE_E_UNREACHABLE);
                return 0;
        }

        call_wait(call);
        etcd_link_use(etcd);
        (void)call_try_send(call);
        return 0;
}

int etcd_calls_range(Store *store, StoreRequest *request, const StoreRange *range,
                     uint64_t timeout_us) {
        EtcdCall *call = call_new(etcd_of(store), request, &method_range, timeout_us);

        return call ? call_begin(call, etcd_encode_range(&call->grpc, range)) : -ENOMEM;
}

int etcd_calls_txn(Store *store, StoreRequest *request, const StoreTxn *txn, uint64_t timeout_us) {
        EtcdCall *call = call_new(etcd_of(store), request, &method_txn, timeout_us);

        return call ? call_begin(call, etcd_encode_txn(&call->grpc, txn)) : -ENOMEM;
}

int etcd_calls_lease_grant(Store *store, StoreRequest *request, int64_t lease, int64_t ttl_s,
                           uint64_t timeout_us) {
        EtcdCall *call = call_new(etcd_of(store), request, &method_grant, timeout_us);

        return call ? call_begin(call, etcd_encode_lease_grant(&call->grpc, lease, ttl_s))
                    : -ENOMEM;
}

int etcd_calls_lease_revoke(Store *store, StoreRequest *request, int64_t lease,
                            uint64_t timeout_us) {
        EtcdCall *call = call_new(etcd_of(store), request, &method_revoke, timeout_us);

        return call ? call_begin(call, etcd_encode_lease_revoke(&call->grpc, lease)) : -ENOMEM;
}

int etcd_calls_lease_look(Store *store, StoreRequest *request, int64_t lease, uint64_t timeout_us) {
        EtcdCall *call = call_new(etcd_of(store), request, &method_look, timeout_us);

        return call ? call_begin(call, etcd_encode_lease_look(&call->grpc, lease)) : -ENOMEM;
}

int etcd_calls_status(Store *store, StoreRequest *request, uint64_t timeout_us) {
        EtcdCall *call = call_new(etcd_of(store), request, &method_status, timeout_us);

        return call ? call_begin(call, etcd_encode_status(&call->grpc)) : -ENOMEM;
}

void etcd_calls_cancel(StoreRequest *request) {
        call_drop(request->backend);
        etcd_finish_later(request, -ECANCELED);
}

void etcd_calls_on_ready(EtcdStore *etcd) {
        for (ListNode *next, *node = list_first(&etcd->calls.waiting); node; node = next) {
                EtcdCall *call = container_of(node, StoreRequest, node)->backend;

                next = list_next(&etcd->calls.waiting, node);
                if (loop_now_us(etcd->store.loop) + ETCD_LAST_SEND_US < call->deadline_us &&
                    !call_try_send(call))
                        return;
        }
}

void etcd_calls_on_denied(EtcdStore *etcd) {
        List denied = { 0 };
        ListNode *node;

        list_splice(&denied, &etcd->calls.waiting);
        while ((node = list_first(&denied)))
                call_finish(container_of(node, StoreRequest, node)->backend, STORE_E_DENIED);
}

void etcd_calls_close(EtcdStore *etcd) {
        ListNode *node;

        while ((node = list_first(&etcd->calls.waiting)) ||
               (node = list_first(&etcd->calls.flying)))
                etcd_calls_cancel(container_of(node, StoreRequest, node));
}
