/* SPDX-License-Identifier: Apache-2.0 */

/* Calls that many operations share.
 *
 * Each kind of call has a stage: operations gather in it while a call of that kind is in flight, or
 * until the end of the turn, and then one call takes them all (at most SYSTEMD_BATCH_MAX). When a
 * call for several fails, the culprit is not known: each is tried alone, so that one bad unit harms
 * no other. A reload is about all units by nature and takes all that wait; one that comes while it
 * is under way waits for the next.
 *
 * Linking also waits for the loads of the same turn that are still asking whether systemd has their
 * unit loaded, so that they share the call.
 */

#include <errno.h>

#include "lib/host/host-systemd-private.h"

/* One kind of call. */
typedef struct SystemdStageKind {
        const char *member;  /* of the manager */
        bool has_paths;      /* takes paths of files, else names of units */
        bool has_units;      /* takes units at all */
        unsigned n_booleans; /* runtime, force: always true */
        size_t n_max;        /* operations per call */
        uint64_t timeout_us; /* for the answer */
} SystemdStageKind;

static const SystemdStageKind kinds[_SYSTEMD_STAGE_MAX] = {
        [SYSTEMD_STAGE_DISABLE] = { "DisableUnitFiles", false, true, 1, SYSTEMD_BATCH_MAX,
                                    SYSTEMD_CALL_TIMEOUT_US },
        [SYSTEMD_STAGE_LINK] = { "LinkUnitFiles", true, true, 2, SYSTEMD_BATCH_MAX,
                                 SYSTEMD_CALL_TIMEOUT_US },
        [SYSTEMD_STAGE_ENABLE] = { "EnableUnitFiles", false, true, 2, SYSTEMD_BATCH_MAX,
                                   SYSTEMD_CALL_TIMEOUT_US },
        [SYSTEMD_STAGE_RELOAD] = { "Reload", false, false, 0, SIZE_MAX, SYSTEMD_RELOAD_TIMEOUT_US },
};

static SystemdStageId stage_id(const SystemdStage *stage) {
        return (SystemdStageId)(stage - stage->host->stages);
}

void systemd_stages_init(HostSystemd *host) {
        for (size_t i = 0; i < ELEMENTSOF(host->stages); i++)
                host->stages[i].host = host;
}

void systemd_stage_add(SystemdOp *op, SystemdStageId id) {
        HostSystemd *host = systemd_of_op(op);

        list_append(&host->stages[id].pending, &op->node);
        loop_defer(host->base.loop, &host->flush);
}

/* Moves those that the next call is about to `running`. */
static void stage_gather(SystemdStage *stage, size_t n_max) {
        ListNode *node;

        stage->covers = stage->host->n_changes;
        stage->n_sent = 0;
        while (stage->n_sent < n_max && (node = list_first(&stage->pending))) {
                bool is_alone = container_of(node, SystemdOp, node)->is_alone;

                if (is_alone && stage->n_sent > 0)
                        return;
                list_remove(node);
                list_append(&stage->running, node);
                stage->n_sent++;
                if (is_alone)
                        return;
        }
}

static int stage_append(SystemdStage *stage, const SystemdStageKind *kind, sd_bus_message *call) {
        int r;

        if (!kind->has_units)
                return 0;

        r = sd_bus_message_open_container(call, 'a', "s");
        for (ListNode *node = list_first(&stage->running); node && r >= 0;
             node = list_next(&stage->running, node)) {
                const char *name = host_op_name(&container_of(node, SystemdOp, node)->base);

                r = kind->has_paths ? systemd_append_path(stage->host, call, name)
                                    : sd_bus_message_append_basic(call, 's', name);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(call);
        for (unsigned i = 0; i < kind->n_booleans && r >= 0; i++)
                r = sd_bus_message_append(call, "b", true);
        return r;
}

static int on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        SystemdStage *stage = userdata;
        SystemdStageId id = stage_id(stage);
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        List done = { 0 };
        ListNode *node;
        bool is_shared = kinds[id].has_units && stage->n_sent > 1;

        (void)ret_error;
        if (systemd_reply_is_void(stage->host))
                return 0;

        stage->slot = sd_bus_slot_unref(stage->slot);
        list_splice(&done, &stage->running);
        if (id == SYSTEMD_STAGE_RELOAD && !error)
                systemd_units_reloaded(stage->host, stage->covers);

        while ((node = list_pop(&done))) {
                SystemdOp *op = container_of(node, SystemdOp, node);

                if (error && is_shared && !systemd_error_is_timeout(error)) {
                        op->is_alone = true;
                        systemd_stage_add(op, id);
                } else {
                        op->is_alone = false;
                        systemd_load_on_stage(op, id, error);
                }
        }

        if (!list_is_empty(&stage->pending))
                loop_defer(stage->host->base.loop, &stage->host->flush);
        return 0;
}

static int stage_send(SystemdStage *stage, const SystemdStageKind *kind) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
        int r;

        r = systemd_manager_call(stage->host, kind->member, &call);
        if (r >= 0)
                r = stage_append(stage, kind, call);
        if (r >= 0)
                r = sd_bus_call_async(stage->host->bus, &stage->slot, call, on_reply, stage,
                                      kind->timeout_us);
        return r;
}

static void stage_flush(SystemdStage *stage) {
        const SystemdStageKind *kind = &kinds[stage_id(stage)];
        ListNode *node;
        int r;

        if (stage->slot || list_is_empty(&stage->pending))
                return;

        stage_gather(stage, kind->n_max);
        r = stage_send(stage, kind);
        if (r >= 0)
                return;

        while ((node = list_pop(&stage->running)))
                systemd_op_end_by_errno(container_of(node, SystemdOp, node), r);
}

static bool stage_must_wait(const SystemdStage *stage) {
        size_t n = 0;

        if (stage_id(stage) != SYSTEMD_STAGE_LINK || stage->host->n_probing == 0)
                return false;

        for (ListNode *node = list_first(&stage->pending); node && n < SYSTEMD_BATCH_MAX;
             node = list_next(&stage->pending, node))
                n++;
        return n < SYSTEMD_BATCH_MAX;
}

void systemd_stages_flush(HostSystemd *host) {
        for (size_t i = 0; i < ELEMENTSOF(host->stages); i++)
                if (!stage_must_wait(&host->stages[i]))
                        stage_flush(&host->stages[i]);
}

void systemd_stages_clear(HostSystemd *host) {
        for (size_t i = 0; i < ELEMENTSOF(host->stages); i++)
                host->stages[i].slot = sd_bus_slot_unref(host->stages[i].slot);
}
