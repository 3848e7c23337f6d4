/* SPDX-License-Identifier: Apache-2.0 */

/* The front-end of the host seam: what every backend would otherwise have to think of.
 *
 * A request becomes an operation (HostOp) in the queue of its unit's name. The first of a queue
 * begins, from the loop, all that became first in one turn together, so that a backend can gather
 * them; the next begins when it has ended. An operation that ends leaves its queue at once and its
 * callback runs in the next turn. Queues live only as long as they hold something: an idle unit
 * costs its entry in the map and nothing else.
 *
 * Units that changed are collected and told once per turn, always before a request that ended
 * because of the change, and a vanished one stays in memory until it was told. No callback of a
 * user ever runs from the stack of a backend.
 *
 * Here is no knowledge of files, systemd, or time.
 */

#include "lib/host/host.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "lib/host/host-backend.h"
#include "lib/unit/utf8.h"

const char *host_op_name(const HostOp *op) {
        assert(op->queue);

        return op->queue->name;
}

static HostOp *queue_first(const HostQueue *queue) {
        ListNode *node = list_first(&queue->ops);

        return node ? container_of(node, HostOp, node) : NULL;
}

HostOp *host_op_find(const Host *host, const char *name) {
        HashNode *node = hash_map_get(&host->queues, name);
        HostOp *op = node ? queue_first(container_of(node, HostQueue, node)) : NULL;

        return op && op->has_begun ? op : NULL;
}

/* Changes */

HostEntry *host_entry_find(const Host *host, const char *name) {
        HashNode *node = hash_map_get(&host->units, name);

        return node ? container_of(node, HostEntry, unit.node) : NULL;
}

int host_entry_add(Host *host, const char *name, HostEntry **ret_entry) {
        size_t name_bytes = strlen(name) + 1;
        HostEntry *entry;
        int r;

        /* The name lies behind the entry: one allocation, and none of the allocator's overhead for
         * a second. */
        entry = calloc(1, host->vtable->entry_bytes + name_bytes);
        if (!entry)
                return -ENOMEM;

        entry->unit.name = memcpy((char *)entry + host->vtable->entry_bytes, name, name_bytes);
        entry->unit.load = entry->unit.active = entry->unit.sub = "";
        r = hash_map_put(&host->units, &entry->unit.node, entry->unit.name);
        if (r < 0) {
                free(entry);
                return r;
        }

        *ret_entry = entry;
        return 0;
}

void host_entry_changed(Host *host, HostEntry *entry) {
        if (host->is_closing)
                return;

        if (!list_node_is_linked(&entry->changed))
                list_append(&host->changed, &entry->changed);
        loop_defer(host->loop, &host->tell);
}

static bool state_assign(const char **slot, const char *state) {
        if (!state || streq(*slot, state))
                return false;

        *slot = state;
        return true;
}

void host_entry_set_states(Host *host, HostEntry *entry, const char *load, const char *active,
                           const char *sub) {
        bool is_changed = state_assign(&entry->unit.load, load);

        is_changed |= state_assign(&entry->unit.active, active);
        is_changed |= state_assign(&entry->unit.sub, sub);
        if (is_changed)
                host_entry_changed(host, entry);
}

void host_entry_remove(Host *host, HostEntry *entry) {
        hash_map_remove(&host->units, &entry->unit.node);
        host->vtable->forget(host, entry);

        entry->is_gone = true;
        entry->unit.load = entry->unit.active = entry->unit.sub = "";
        entry->unit.hash[0] = '\0';
        host_entry_changed(host, entry);
        if (!list_node_is_linked(&entry->changed))
                free(entry);
}

static void host_tell_changes(Host *host) {
        ListNode *node;

        /* Half a view is not told: the rest follows with the readiness. */
        if (!host->is_ready && !host->is_closing)
                return;

        while ((node = list_pop(&host->changed))) {
                HostEntry *entry = container_of(node, HostEntry, changed);

                if (!host->is_closing)
                        host->listener.on_unit(&entry->unit, host->listener.userdata);
                if (entry->is_gone)
                        free(entry);
        }
}

static void host_on_tell(LoopDeferred *deferred) {
        Host *host = container_of(deferred, Host, tell);

        host_tell_changes(host);
        if (host->is_closing || host->is_ready == host->is_ready_told)
                return;

        host->is_ready_told = host->is_ready;
        host->listener.on_ready(host->is_ready, host->is_ready ? NULL : host->lost_why,
                                host->listener.userdata);
}

void host_set_ready(Host *host, bool is_ready, const char *why) {
        assert(is_ready || why);

        host->is_ready = is_ready;
        host->lost_why = why;
        if (!host->is_closing)
                loop_defer(host->loop, &host->tell);
}

/* Operations */

static void host_op_free(Host *host, HostOp *op) {
        host->vtable->release(host, op);
        free(op->text);
        free(op->why);
        free(op);
}

static void host_on_completion(LoopDeferred *deferred) {
        HostRequest *request = container_of(deferred, HostRequest, completion);
        HostOp *op = request->backend;
        Host *host = request->host;
        HostDone done = request->done;
        const char *why = NULL;

        /* What is told here may end the host's or the request's owner's interest in it, but both
         * outlive the callback. */
        host_tell_changes(host);

        if (op->status != 0)
                why = op->why ? op->why : strerror(op->status < 0 ? -op->status : ENOMEM);
        request->host = NULL;
        request->backend = NULL;
        host->n_pending--;
        done(request, op->status, why);
        host_op_free(host, op);
}

static void host_on_begin(LoopDeferred *deferred) {
        Host *host = container_of(deferred, Host, begin);
        List batch = { 0 };
        ListNode *node;

        list_splice(&batch, &host->ready);
        while ((node = list_pop(&batch))) {
                HostOp *op = container_of(node, HostOp, ready);

                op->has_begun = true;
                host->vtable->begin(host, op);
        }
}

static void host_queue_advance(Host *host, HostQueue *queue) {
        HostOp *op = queue_first(queue);

        if (!op) {
                hash_map_remove(&host->queues, &queue->node);
                free(queue);
                return;
        }

        if (op->has_begun || list_node_is_linked(&op->ready))
                return;
        list_append(&host->ready, &op->ready);
        loop_defer(host->loop, &host->begin);
}

/* A reason goes into a record with those of many other units: it may not fill the transaction. */
static void cut_reason(char *why) {
        static const char rest[] = "...";
        size_t n_bytes = 0, n_more;

        if (strlen(why) <= HOST_WHY_MAX_BYTES)
                return;
        while ((n_more = utf8_sequence_bytes(why + n_bytes, 4)) > 0 &&
               n_bytes + n_more + strlen(rest) <= HOST_WHY_MAX_BYTES)
                n_bytes += n_more;
        memcpy(why + n_bytes, rest, sizeof(rest));
}

void host_op_end(HostOp *op, int status, const char *format, ...) {
        HostRequest *request = op->request;
        HostQueue *queue = op->queue;
        Host *host = request->host;

        assert(queue);
        assert((status == 0) == !format);

        if (format) {
                va_list args;

                va_start(args, format);
                if (vasprintf(&op->why, format, args) < 0)
                        op->why = NULL;
                va_end(args);
                if (op->why)
                        cut_reason(op->why);
        }

        op->status = status;
        op->queue = NULL;
        list_remove(&op->node);
        list_remove(&op->ready);
        loop_defer(host->loop, &request->completion);
        host_queue_advance(host, queue);
}

static void host_op_break(Host *host, HostOp *op, int status, const char *why) {
        if (op->has_begun)
                host->vtable->abandon(host, op);
        host_op_end(op, status, "%s", why);
}

void host_end_all(Host *host, int status, const char *why) {
        HashNode *node;

        while ((node = hash_map_first(&host->queues))) {
                HostQueue *queue = container_of(node, HostQueue, node);
                size_t n_left = 1;

                /* The queue is freed with its last operation. */
                while (n_left > 0) {
                        HostOp *op = queue_first(queue);

                        n_left = list_next(&queue->ops, &op->node) != NULL;
                        host_op_break(host, op, status, why);
                }
        }
}

static int host_queue_find_or_add(Host *host, const char *name, HostQueue **ret_queue) {
        HashNode *node = hash_map_get(&host->queues, name);
        size_t name_bytes = strlen(name) + 1;
        HostQueue *queue;
        int r;

        if (node) {
                *ret_queue = container_of(node, HostQueue, node);
                return 0;
        }

        queue = calloc(1, sizeof(HostQueue) + name_bytes);
        if (!queue)
                return -ENOMEM;

        memcpy(queue->name, name, name_bytes);
        r = hash_map_put(&host->queues, &queue->node, queue->name);
        if (r < 0) {
                free(queue);
                return r;
        }

        *ret_queue = queue;
        return 0;
}

/* What a request asks for; `text` only for loading. */
typedef struct HostOrder {
        HostVerb verb;
        const char *name;
        const char *text;
        size_t n_bytes;
} HostOrder;

static int host_submit(Host *host, HostRequest *request, const HostOrder *order, HostDone done) {
        HostQueue *queue;
        HostOp *op;
        int r;

        assert(host->is_started);
        assert(done);
        assert(!request->host);

        if (host->is_closing)
                return -ESHUTDOWN;

        op = calloc(1, host->vtable->op_bytes);
        if (!op)
                return -ENOMEM;

        op->text = order->text ? malloc(order->n_bytes + 1) : NULL;
        r = order->text && !op->text ? -ENOMEM : host_queue_find_or_add(host, order->name, &queue);
        if (r < 0) {
                host_op_free(host, op);
                return r;
        }

        if (order->text) {
                memcpy(op->text, order->text, order->n_bytes);
                op->text[order->n_bytes] = '\0';
                op->n_bytes = order->n_bytes;
        }
        op->verb = order->verb;
        op->request = request;
        op->queue = queue;
        *request = (HostRequest){
                .done = done, .host = host, .backend = op, .completion.fn = host_on_completion
        };
        list_append(&queue->ops, &op->node);
        host_queue_advance(host, queue);
        host->n_pending++;
        return 0;
}

int host_load(Host *host, HostRequest *request, const char *name, const char *text, size_t n_bytes,
              HostDone done) {
        HostOrder order = { HOST_VERB_LOAD, name, text, n_bytes };

        assert(text);
        return host_submit(host, request, &order, done);
}

int host_unit_start(Host *host, HostRequest *request, const char *name, HostDone done) {
        HostOrder order = { HOST_VERB_START, name, NULL, 0 };

        return host_submit(host, request, &order, done);
}

int host_unit_restart(Host *host, HostRequest *request, const char *name, HostDone done) {
        HostOrder order = { HOST_VERB_RESTART, name, NULL, 0 };

        return host_submit(host, request, &order, done);
}

int host_unit_stop(Host *host, HostRequest *request, const char *name, HostDone done) {
        HostOrder order = { HOST_VERB_STOP, name, NULL, 0 };

        return host_submit(host, request, &order, done);
}

int host_unload(Host *host, HostRequest *request, const char *name, HostDone done) {
        HostOrder order = { HOST_VERB_UNLOAD, name, NULL, 0 };

        return host_submit(host, request, &order, done);
}

void host_cancel(HostRequest *request) {
        HostOp *op = request->host ? request->backend : NULL;

        if (op && op->queue)
                host_op_break(request->host, op, -ECANCELED, "nobody waits for it any more");
}

bool host_request_is_pending(const HostRequest *request) {
        return request->host;
}

/* Life */

static void host_on_finish(LoopDeferred *deferred) {
        Host *host = container_of(deferred, Host, finish);

        assert(host->n_pending == 0);

        host_tell_changes(host);
        if (host->closed)
                host->closed(host, host->closed_userdata);
}

static void host_on_answer(LoopDeferred *deferred) {
        Host *host = container_of(deferred, Host, answer);

        TAKE(host->end_told)(host->end, host->end_userdata);
}

void host_end_is(Host *host, HostEnd end) {
        if (!host->end_told || host->is_closing)
                return;

        host->end = end;
        loop_defer(host->loop, &host->answer);
}

void host_ask_end(Host *host, void (*told)(HostEnd end, void *userdata), void *userdata) {
        assert(!host->end_told);

        host->end_told = told;
        host->end_userdata = userdata;
        if (host_is_ready(host))
                host->vtable->ask_end(host);
        else
                host_end_is(host, HOST_END_UNKNOWN);
}

void host_init(Host *host, Loop *loop, const HostVtable *vtable) {
        uint64_t seed;

        assert(vtable->op_bytes >= sizeof(HostOp) && vtable->entry_bytes >= sizeof(HostEntry));

        env_random_bytes(loop_env(loop), &seed, sizeof(seed));
        host->vtable = vtable;
        host->loop = loop;
        host->units = hash_map_make(seed);
        host->queues = hash_map_make(seed);
        host->begin.fn = host_on_begin;
        host->tell.fn = host_on_tell;
        host->finish.fn = host_on_finish;
        host->answer.fn = host_on_answer;
        host->lost_why = "not connected yet";
}

int host_start(Host *host, const HostListener *listener) {
        int r;

        assert(!host->is_started && !host->is_closing);
        assert(listener->on_unit && listener->on_ready);

        host->listener = *listener;
        r = host->vtable->start(host);
        if (r < 0)
                return r;

        host->is_started = true;
        return 0;
}

bool host_is_ready(const Host *host) {
        return host->is_ready && host->is_ready_told && !host->is_closing;
}

const HostUnit *host_find(const Host *host, const char *name) {
        HostEntry *entry = host_entry_find(host, name);

        return entry ? &entry->unit : NULL;
}

const HashMap *host_units(const Host *host) {
        return &host->units;
}

int host_guard_until(Host *host, uint64_t until_us) {
        return host->vtable->guard_until(host, until_us);
}

uint64_t host_guarded_until_us(const Host *host) {
        return host->vtable->guarded_until_us(host);
}

void host_close(Host *host, void (*closed)(Host *host, void *userdata), void *userdata) {
        assert(!host->is_closing);

        host->is_closing = true;
        host->closed = closed;
        host->closed_userdata = userdata;
        loop_defer_cancel(&host->answer);
        host_end_all(host, -ECANCELED, "fleetd lets go of the service manager");
        host->vtable->close(host);
        /* Behind the completions, which were deferred before. */
        loop_defer(host->loop, &host->finish);
}

static void host_free_entries(Host *host) {
        HashNode *node = hash_map_first(&host->units);

        while (node) {
                HostEntry *entry = container_of(node, HostEntry, unit.node);

                node = hash_map_next(&host->units, node);
                free(entry);
        }
        hash_map_done(&host->units);
}

Host *host_free(Host *host) {
        if (!host)
                return NULL;

        assert(!host->is_started || host->is_closing);
        assert(host->n_pending == 0);

        host->is_closing = true;
        loop_defer_cancel(&host->begin);
        loop_defer_cancel(&host->tell);
        loop_defer_cancel(&host->finish);
        loop_defer_cancel(&host->answer);
        host_tell_changes(host);
        host_free_entries(host);
        hash_map_done(&host->queues);
        host->vtable->free(host);
        return NULL;
}
