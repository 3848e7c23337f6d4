/* SPDX-License-Identifier: Apache-2.0 */

/* Keep-alives: one LeaseKeepAlive stream for all leases, opened when the first one is to be kept.
 *
 * etcd answers a stream's requests in order, so the k-th answer belongs to the k-th request, and an
 * entry whose request was given up stays in the queue until its answer has passed. (To match by
 * lease alone would let a late answer to an earlier request count for a later one, and the lease
 * would be believed alive for too long.) When the stream is lost, what was sent is sent again on
 * the next one: a keep-alive does no harm twice.
 *
 * An answer that does not come in time makes the member suspect: a member that keeps leases alive
 * is connected to the leader, which is what the watches on the same connection rely on.
 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "lib/store/store-etcd-outcome.h"
#include "lib/store/store-etcd-private.h"

/* A keep-alive on its way. */
typedef struct EtcdKeepAlive {
        EtcdRequestKind kind;  /* first: see etcd_cancel() */
        ListNode node;         /* in waiting or sent */
        EtcdStore *etcd;       /* borrowed */
        StoreRequest *request; /* borrowed; NULL when it was given up */
        int64_t lease;
        unsigned token_number; /* of the token that it was last sent with */
        uint64_t sent_us;
        bool is_sent;
        bool has_new_token; /* it was sent again for a fresh token */
} EtcdKeepAlive;

static EtcdKeepAlive *entry_of(ListNode *node) {
        return container_of(node, EtcdKeepAlive, node);
}

static void entry_unlink(EtcdKeepAlive *entry) {
        if (list_node_is_linked(&entry->node)) {
                if (entry->is_sent)
                        entry->etcd->leases.n_sent--;
                else
                        entry->etcd->leases.n_waiting--;
        }
        list_remove(&entry->node);
        entry->is_sent = false;
}

static void entry_link(EtcdKeepAlive *entry, bool is_sent) {
        EtcdLeases *leases = &entry->etcd->leases;

        entry_unlink(entry);
        entry->is_sent = is_sent;
        list_append(is_sent ? &leases->sent : &leases->waiting, &entry->node);
        if (is_sent)
                leases->n_sent++;
        else
                leases->n_waiting++;
}

/* Takes the request from its entry, which goes, or stays to meet its answer. */
static StoreRequest *entry_detach(EtcdKeepAlive *entry) {
        StoreRequest *request = TAKE(entry->request);

        timer_clear(&request->deadline);
        request->backend = NULL;
        if (!entry->is_sent) {
                entry_unlink(entry);
                free(entry);
        }
        return request;
}

static void leases_on_deadline(LoopTimer *timer) {
        StoreRequest *request = container_of(timer, StoreRequest, deadline);
        EtcdKeepAlive *entry = request->backend;

        if (entry->is_sent &&
            loop_now_us(entry->etcd->store.loop) - entry->sent_us >= ETCD_PATIENCE_US)
                etcd_link_suspect(entry->etcd, "it did not answer a keep-alive in time");
        store_request_finish(entry_detach(entry), STORE_E_UNREACHABLE, NULL);
}

/* Puts everything that was sent before what waits, in order; entries that were given up go. */
static void leases_take_back(EtcdLeases *leases) {
        List later = { 0 };
        ListNode *node;

        list_splice(&later, &leases->waiting);
        while ((node = list_first(&leases->sent))) {
                EtcdKeepAlive *entry = entry_of(node);

                entry_link(entry, false);
                if (!entry->request) {
                        entry_unlink(entry);
                        free(entry);
                }
        }
        list_splice(&leases->waiting, &later);
}

/* Ends everything that was sent, and not what is sent for it. */
static void leases_finish_sent(EtcdLeases *leases, int status) {
        List ended = { 0 };
        ListNode *node;

        list_splice(&ended, &leases->sent);
        while ((node = list_first(&ended))) {
                EtcdKeepAlive *entry = entry_of(node);

                entry_unlink(entry);
                if (entry->request)
                        store_request_finish(entry_detach(entry), status, NULL);
                else
                        free(entry);
        }
}

static int leases_answer(EtcdLeases *leases, const GrpcMessage *message) {
        EtcdReply reply;
        EtcdKeepAlive *entry;
        StoreRequest *request;
        int r;

        r = etcd_decode_lease_keep_alive(message, &reply);
        if (r < 0)
                return r;
        if (list_is_empty(&leases->sent))
                return -EBADMSG;

        entry = entry_of(list_first(&leases->sent));
        if (entry->lease != reply.reply.lease)
                return -EBADMSG;

        entry_unlink(entry);
        if (!entry->request) {
                free(entry);
                return 0;
        }

        request = entry_detach(entry);
        if (reply.reply.lease_ttl_s > 0)
                store_request_finish(request, 0, &reply.reply);
        else
                store_request_finish(request, STORE_E_NO_LEASE, NULL);
        return 0;
}

static void leases_on_message(GrpcCall *call, GrpcMessage *message) {
        EtcdStore *etcd = container_of(call, EtcdStore, leases.stream);

        if (leases_answer(&etcd->leases, message) < 0)
                etcd_link_suspect(etcd, "it answered a keep-alive with something else");
        free(message);
}

/* Lets those be sent again that have not been sent with a fresh token yet, or with one that has
 * aged meanwhile. */
static bool leases_may_reauthenticate(EtcdStore *etcd, unsigned *ret_token_number) {
        const EtcdLeases *leases = &etcd->leases;
        bool may = false;

        for (ListNode *n = list_first(&leases->sent); n; n = list_next(&leases->sent, n)) {
                EtcdKeepAlive *entry = entry_of(n);

                if (entry->request && (!entry->has_new_token ||
                                       etcd_link_has_other_token(etcd, entry->token_number))) {
                        entry->has_new_token = may = true;
                        *ret_token_number = entry->token_number;
                }
        }
        return may;
}

static void leases_on_ended(GrpcCall *call, const GrpcStatus *status) {
        EtcdStore *etcd = container_of(call, EtcdStore, leases.stream);
        EtcdLeases *leases = &etcd->leases;
        unsigned token_number;

        grpc_call_done(call);

        if (etcd->access.username && etcd_status_wants_token(status) &&
            leases_may_reauthenticate(etcd, &token_number)) {
                leases_take_back(leases);
                etcd_link_reauthenticate(etcd, token_number);
        } else if (status->code == GRPC_OK || etcd_status_blames_member(status, UINT64_MAX)) {
                etcd_link_suspect(etcd, status->code == GRPC_OK ? "it ended the keep-alives"
                                                                : status->message);
                leases_take_back(leases);
        } else {
                leases_finish_sent(leases, etcd_outcome(status, false, 0));
        }
        etcd_leases_on_ready(etcd);
}

static const GrpcCallVtable leases_vtable = {
        .message = leases_on_message,
        .ended = leases_on_ended,
};

static int leases_open_stream(EtcdStore *etcd) {
        GrpcCall *stream = &etcd->leases.stream;

        if (grpc_call_is_running(stream))
                return 0;

        grpc_call_init(stream, &leases_vtable, "/etcdserverpb.Lease/LeaseKeepAlive", false);
        return grpc_call_start(etcd->link.channel, stream, 0);
}

void etcd_leases_on_ready(EtcdStore *etcd) {
        EtcdLeases *leases = &etcd->leases;
        ListNode *node;

        if (list_is_empty(&leases->waiting) || !etcd_link_is_ready(etcd) ||
            leases_open_stream(etcd) < 0)
                return;

        while (leases->n_sent < ETCD_WAITING_MAX && (node = list_first(&leases->waiting))) {
                EtcdKeepAlive *entry = entry_of(node);

                if (etcd_encode_lease_keep_alive(&leases->stream, entry->lease) < 0)
                        break; /* their deadlines tell */
                entry->token_number = etcd->link.token_number;
                entry->sent_us = loop_now_us(etcd->store.loop);
                entry_link(entry, true);
        }
        grpc_call_send(&leases->stream);
}

int etcd_leases_keep_alive(Store *store, StoreRequest *request, int64_t lease,
                           uint64_t timeout_us) {
        EtcdStore *etcd = etcd_of(store);
        EtcdKeepAlive *entry;

        if (etcd->leases.n_waiting + etcd->leases.n_sent >= ETCD_WAITING_MAX) {
                etcd_finish_later(request, STORE_E_UNREACHABLE);
                return 0;
        }

        entry = calloc(1, sizeof *entry);
        if (!entry)
                return -ENOMEM;

        request->deadline.fn = leases_on_deadline;
        timer_set_in(store->loop, &request->deadline, timeout_us);

        entry->kind = ETCD_REQUEST_KEEP_ALIVE;
        entry->etcd = etcd;
        entry->request = request;
        entry->lease = lease;
        request->backend = entry;
        entry_link(entry, false);
        etcd_link_use(etcd);
        etcd_leases_on_ready(etcd);
        return 0;
}

void etcd_leases_cancel(StoreRequest *request) {
        etcd_finish_later(entry_detach(request->backend), -ECANCELED);
}

void etcd_leases_on_denied(EtcdStore *etcd) {
        List denied = { 0 };
        ListNode *node;

        leases_take_back(&etcd->leases);
        list_splice(&denied, &etcd->leases.waiting);
        while ((node = list_first(&denied)))
                store_request_finish(entry_detach(entry_of(node)), STORE_E_DENIED, NULL);
}

void etcd_leases_restart(EtcdStore *etcd) {
        grpc_call_done(&etcd->leases.stream);
        leases_take_back(&etcd->leases);
}

void etcd_leases_close(EtcdStore *etcd) {
        ListNode *node;

        etcd_leases_restart(etcd);
        while ((node = list_first(&etcd->leases.waiting)))
                etcd_leases_cancel(entry_of(node)->request);
}
