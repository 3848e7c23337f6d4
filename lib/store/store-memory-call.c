/* SPDX-License-Identifier: Apache-2.0 */

/* The requests of the store in memory, and what befalls them on their way.
 *
 *                     lost ──────────────┐ (late)
 *                      ▲                 ▼
 *     start ──> ARRIVING ──> carried out ──> REPLYING ──> finished
 *         └──> refused           └─────────> lost, waits for its deadline
 *
 * A call is the copy of a request that travels; the request is its caller's. They part when the
 * request ends (at its deadline, or cancelled) while the call is still on its way: what was sent is
 * carried out all the same, which is what makes an unanswered write an unknown one. A call without
 * a request is freed when it has been carried out.
 *
 * Whether something is lost is drawn when it leaves; a cut loses in addition whatever arrives while
 * it lasts.
 */

#include <assert.h>
#include <errno.h>

#include "lib/store/store-arguments.h"
#include "lib/store/store-memory-client.h"

typedef struct MemoryCall {
        ListNode node;         /* in MemoryStore.calls */
        MemoryStore *memory;   /* borrowed */
        StoreMemory *client;   /* borrowed; NULL once it is gone */
        unsigned from;         /* the client's number */
        StoreRequest *request; /* borrowed; NULL once it has ended */
        enum {
                CALL_WAITING,  /* lost: its deadline will come */
                CALL_ARRIVING, /* on its way to the store */
                CALL_REPLYING, /* on its way back */
        } state;
        bool is_late;   /* it was lost and turns up all the same */
        bool is_ending; /* the request ends in the next turn, with `status` */
        StoreArguments arguments;
        LoopTimer timer;       /* the end of the way that it is on */
        LoopDeferred deferred; /* the same, without latency */
        int status;            /* how it ends */
        MemoryAnswer answer;   /* with status 0 */
} MemoryCall;

static MemoryCall *memory_call_free(MemoryCall *call) {
        if (!call)
                return NULL;

        assert(!call->request);
        timer_clear(&call->timer);
        loop_defer_cancel(&call->deferred);
        list_remove(&call->node);
        memory_answer_done(&call->answer);
        store_arguments_done(&call->arguments);
        free(call);
        return NULL;
}

DEFINE_CLEANUP(MemoryCall, memory_call_free)

/* ---- the end of a request */

static void memory_call_finish(MemoryCall *call, int status) {
        StoreRequest *request = TAKE(call->request);

        timer_clear(&request->deadline);
        loop_defer_cancel(&request->completion);
        list_remove(&request->node);
        store_request_finish(request, status, status == 0 ? &call->answer.reply : NULL);

        if (call->state != CALL_ARRIVING)
                memory_call_free(call);
}

static bool memory_call_reads(const MemoryCall *call) {
        return store_arguments_only_read(&call->arguments);
}

static void memory_call_on_deadline(LoopTimer *timer) {
        MemoryCall *call = container_of(timer, StoreRequest, deadline)->backend;

        memory_call_finish(call, memory_call_reads(call) ? STORE_E_UNREACHABLE : STORE_E_UNKNOWN);
}

static void memory_call_on_completion(LoopDeferred *completion) {
        MemoryCall *call = container_of(completion, StoreRequest, completion)->backend;

        memory_call_finish(call, call->status);
}

/* Ends the request in the next turn. */
static void memory_call_end(MemoryCall *call, int status) {
        call->is_ending = true;
        call->status = status;
        timer_clear(&call->request->deadline);
        loop_defer(call->request->store->loop, &call->request->completion);
}

void store_memory_cancel(StoreRequest *request) {
        MemoryCall *call = request->backend;

        if (!call->is_ending)
                memory_call_end(call, -ECANCELED);
}

/* ---- travelling */

static bool memory_call_draws(const MemoryCall *call, uint32_t ppm) {
        return ppm > 0 && env_random_below(loop_env(call->memory->loop), 1000000) < ppm;
}

uint64_t store_memory_draw_latency_us(const StoreMemory *client) {
        const StoreFaults *faults = &client->faults;
        uint64_t jitter_us = 0;

        if (faults->latency_jitter_us > 0)
                jitter_us = env_random_below(loop_env(client->memory->loop),
                                             faults->latency_jitter_us + 1);
        return faults->latency_us + jitter_us;
}

/* Sends the call on a way that takes `delay_us`. */
static void memory_call_travel(MemoryCall *call, uint64_t delay_us) {
        if (delay_us > 0)
                timer_set_in(call->memory->loop, &call->timer, delay_us);
        else
                loop_defer(call->memory->loop, &call->deferred);
}

/* The call is lost on its way to the store; a write may turn up later. */
static void memory_call_lose(MemoryCall *call) {
        const StoreFaults *faults = &call->client->faults;

        call->state = CALL_WAITING;
        if (memory_call_reads(call) || !memory_call_draws(call, faults->late_apply_ppm))
                return;

        call->is_late = true;
        call->state = CALL_ARRIVING;
        memory_call_travel(call, faults->late_apply_us);
}

static void memory_call_send(MemoryCall *call) {
        StoreMemory *client = call->client;

        if (memory_call_draws(call, client->faults.unreachable_ppm)) {
                memory_call_end(call, STORE_E_UNREACHABLE);
                return;
        }

        if (client->faults.is_cut || memory_call_draws(call, client->faults.lose_request_ppm)) {
                memory_call_lose(call);
                return;
        }

        call->state = CALL_ARRIVING;
        memory_call_travel(call, store_memory_draw_latency_us(client));
}

/* ---- at the store */

static int memory_call_grant_lease(MemoryCall *call) {
        MemoryLease *lease;
        int r;

        r = memory_lease_add(&call->memory->data, call->arguments.lease, call->arguments.number,
                             &lease);
        if (r != 0)
                return r;

        call->answer.reply.lease = lease->lease.id;
        call->answer.reply.lease_ttl_s = lease->lease.ttl_s;
        return 0;
}

static int memory_call_revoke_lease(MemoryCall *call, uint64_t now_us) {
        MemoryLease *lease = memory_lease_find(&call->memory->data, call->arguments.number);

        return lease ? memory_lease_end(&call->memory->data, lease, now_us) : STORE_E_NO_LEASE;
}

static int memory_call_tell_status(MemoryCall *call) {
        const MemoryStore *memory = call->memory;

        call->answer.reply.status = (StoreStatus){
                .version = "",
                .troubles = memory->is_full ? "full" : "",
                .has_leader = !memory->data.leases.is_paused,
                .is_full = memory->is_full,
        };
        return 0;
}

static int memory_call_dispatch(MemoryCall *call) {
        MemoryData *data = &call->memory->data;
        uint64_t now_us = loop_now_us(call->memory->loop);

        if (call->memory->is_full && store_arguments_take_space(&call->arguments))
                return STORE_E_NO_SPACE;

        switch (call->arguments.kind) {
        case STORE_KIND_RANGE:
                return memory_data_range(data, &call->arguments.range, &call->answer);
        case STORE_KIND_TXN:
                return memory_data_txn(data, &call->arguments.txn, now_us, &call->answer);
        case STORE_KIND_LEASE_GRANT:
                return memory_call_grant_lease(call);
        case STORE_KIND_LEASE_KEEP_ALIVE:
                return store_leases_keep_alive(&data->leases, call->arguments.number,
                                               &call->answer.reply);
        case STORE_KIND_LEASE_REVOKE:
                return memory_call_revoke_lease(call, now_us);
        case STORE_KIND_LEASE_LOOK:
                return store_leases_look(&data->leases, call->arguments.number,
                                         &call->answer.reply);
        case STORE_KIND_STATUS:
                return memory_call_tell_status(call);
        case _STORE_KIND_MAX:
                break;
        }
        return STORE_E_INVALID;
}

/* The reply is there. A client on a loop of its own hears of it on that. */
static void memory_call_deliver(MemoryCall *call) {
        if (call->client->store.loop == call->memory->loop)
                memory_call_finish(call, call->status);
        else
                memory_call_end(call, call->status);
}

/* The reply leaves the store, or is lost. */
static void memory_call_reply(MemoryCall *call) {
        StoreMemory *client = call->client;
        uint64_t delay_us;

        if (client->faults.is_cut || memory_call_draws(call, client->faults.lose_reply_ppm))
                return;

        delay_us = store_memory_draw_latency_us(client);
        if (delay_us == 0) {
                memory_call_deliver(call);
                return;
        }
        call->state = CALL_REPLYING;
        memory_call_travel(call, delay_us);
}

static void memory_call_arrive(MemoryCall *call) {
        MemoryStore *memory = call->memory;
        uint64_t sequence = memory_data_next_sequence(&memory->data);
        int status;

        if (call->client && call->client->faults.is_cut && !call->is_late) {
                memory_call_lose(call);
                if (!call->request && call->state == CALL_WAITING)
                        memory_call_free(call);
                return;
        }

        call->state = CALL_WAITING;
        status = memory_call_dispatch(call);
        call->answer.reply.revision = memory->data.revision;
        memory_store_notify(memory, sequence, call->from);

        if (!call->request) {
                memory_call_free(call);
                return;
        }
        if (call->is_ending || call->is_late)
                return;

        call->status = status;
        memory_call_reply(call);
}

static void memory_call_move(MemoryCall *call) {
        if (call->state == CALL_ARRIVING)
                memory_call_arrive(call);
        else if (call->client->faults.is_cut)
                call->state = CALL_WAITING;
        else
                memory_call_deliver(call);
}

static void memory_call_on_timer(LoopTimer *timer) {
        memory_call_move(container_of(timer, MemoryCall, timer));
}

static void memory_call_on_deferred(LoopDeferred *deferred) {
        memory_call_move(container_of(deferred, MemoryCall, deferred));
}

/* ---- starting */

static MemoryCall *memory_call_new(Store *store, StoreKind kind) {
        MemoryCall *call = calloc(1, sizeof(*call));

        if (!call)
                return NULL;

        call->client = store_memory(store);
        call->memory = call->client->memory;
        call->from = call->client->number;
        call->arguments.kind = kind;
        call->timer.fn = memory_call_on_timer;
        call->deferred.fn = memory_call_on_deferred;
        return call;
}

/* Takes the call. */
static void memory_call_start(MemoryCall *call, StoreRequest *request, uint64_t timeout_us) {
        request->deadline.fn = memory_call_on_deadline;
        request->completion.fn = memory_call_on_completion;
        timer_set_in(call->client->store.loop, &request->deadline, timeout_us);

        call->request = request;
        request->backend = call;
        list_append(&call->memory->calls, &call->node);
        list_append(&call->client->requests, &request->node);

        memory_call_send(call);
}

int store_memory_range(Store *store, StoreRequest *request, const StoreRange *range,
                       uint64_t timeout_us) {
        _cleanup_(memory_call_freep) MemoryCall *call = memory_call_new(store, STORE_KIND_RANGE);
        int r;

        if (!call)
                return -ENOMEM;

        r = store_arguments_copy_range(&call->arguments, range);
        if (r < 0)
                return r;
        memory_call_start(TAKE(call), request, timeout_us);
        return 0;
}

int store_memory_txn(Store *store, StoreRequest *request, const StoreTxn *txn,
                     uint64_t timeout_us) {
        _cleanup_(memory_call_freep) MemoryCall *call = memory_call_new(store, STORE_KIND_TXN);
        int r;

        if (!call)
                return -ENOMEM;

        r = store_arguments_copy_txn(&call->arguments, txn);
        if (r < 0)
                return r;
        memory_call_start(TAKE(call), request, timeout_us);
        return 0;
}

static int memory_call_start_number(Store *store, StoreRequest *request, StoreKind kind,
                                    int64_t lease, int64_t number, uint64_t timeout_us) {
        MemoryCall *call = memory_call_new(store, kind);

        if (!call)
                return -ENOMEM;

        call->arguments.lease = lease;
        call->arguments.number = number;
        memory_call_start(call, request, timeout_us);
        return 0;
}

int store_memory_lease_grant(Store *store, StoreRequest *request, int64_t lease, int64_t ttl_s,
                             uint64_t timeout_us) {
        return memory_call_start_number(store, request, STORE_KIND_LEASE_GRANT, lease, ttl_s,
                                        timeout_us);
}

int store_memory_lease_keep_alive(Store *store, StoreRequest *request, int64_t lease,
                                  uint64_t timeout_us) {
        return memory_call_start_number(store, request, STORE_KIND_LEASE_KEEP_ALIVE, 0, lease,
                                        timeout_us);
}

int store_memory_lease_revoke(Store *store, StoreRequest *request, int64_t lease,
                              uint64_t timeout_us) {
        return memory_call_start_number(store, request, STORE_KIND_LEASE_REVOKE, 0, lease,
                                        timeout_us);
}

int store_memory_lease_look(Store *store, StoreRequest *request, int64_t lease,
                            uint64_t timeout_us) {
        return memory_call_start_number(store, request, STORE_KIND_LEASE_LOOK, 0, lease,
                                        timeout_us);
}

int store_memory_status(Store *store, StoreRequest *request, uint64_t timeout_us) {
        return memory_call_start_number(store, request, STORE_KIND_STATUS, 0, 0, timeout_us);
}

/* ---- when clients go */

void memory_store_orphan_calls(MemoryStore *memory, const StoreMemory *client) {
        for (ListNode *n = list_first(&memory->calls); n; n = list_next(&memory->calls, n)) {
                MemoryCall *call = container_of(n, MemoryCall, node);

                if (call->client == client)
                        call->client = NULL;
        }
}

void memory_store_drop_calls(MemoryStore *memory) {
        ListNode *n;

        while ((n = list_first(&memory->calls)))
                memory_call_free(container_of(n, MemoryCall, node));
}
