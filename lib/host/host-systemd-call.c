/* SPDX-License-Identifier: Apache-2.0 */

/* Calls that are about one operation. An operation has at most one in flight; at most
 * SYSTEMD_CALLS_MAX are in flight together, further ones wait in the order in which they were
 * wanted. Sending happens from the loop (the flush), never from the callback of another call.
 */

#include <errno.h>

#include "lib/host/host-systemd-private.h"

void systemd_op_call(SystemdOp *op, int (*send)(SystemdOp *op)) {
        HostSystemd *host = systemd_of_op(op);

        op->send = send;
        list_append(&host->calls, &op->node);
        loop_defer(host->base.loop, &host->flush);
}

int systemd_op_send(SystemdOp *op, sd_bus_message *call, sd_bus_message_handler_t on_reply) {
        HostSystemd *host = systemd_of_op(op);
        int r;

        r = sd_bus_call_async(host->bus, &op->slot, call, on_reply, op, SYSTEMD_CALL_TIMEOUT_US);
        if (r < 0)
                return r;

        host->n_calls++;
        return 0;
}

static void op_drop_call(SystemdOp *op) {
        HostSystemd *host = systemd_of_op(op);

        if (!op->slot)
                return;

        op->slot = sd_bus_slot_unref(op->slot);
        host->n_calls--;
        if (!list_is_empty(&host->calls))
                loop_defer(host->base.loop, &host->flush);
}

bool systemd_op_replied(SystemdOp *op) {
        if (systemd_reply_is_void(systemd_of_op(op)))
                return false;

        op_drop_call(op);
        return true;
}

void systemd_calls_flush(HostSystemd *host) {
        ListNode *node;

        while (host->n_calls < SYSTEMD_CALLS_MAX && (node = list_pop(&host->calls))) {
                SystemdOp *op = container_of(node, SystemdOp, node);
                int r = op->send(op);

                if (r < 0)
                        systemd_op_end_by_errno(op, r);
        }
}

void systemd_op_abandon(Host *base, HostOp *base_op) {
        HostSystemd *host = container_of(base, HostSystemd, base);
        SystemdOp *op = container_of(base_op, SystemdOp, base);

        op_drop_call(op);
        list_remove(&op->node);
        if (op->is_probing) {
                op->is_probing = false;
                host->n_probing--;
                loop_defer(base->loop, &host->flush);
        }
        if (op->job_key[0] != '\0')
                hash_map_remove(&host->jobs, &op->job);
        op->job_key[0] = '\0';
}

bool systemd_error_is_timeout(const sd_bus_error *error) {
        return sd_bus_error_has_name(error, SD_BUS_ERROR_NO_REPLY) ||
               sd_bus_error_has_name(error, SD_BUS_ERROR_TIMEOUT);
}

void systemd_op_end_by_errno(SystemdOp *op, int error) {
        systemd_op_abandon(&systemd_of_op(op)->base, &op->base);
        host_op_end(&op->base, error, "cannot ask systemd: %s", strerror(-error));
}

void systemd_op_end_by_error(SystemdOp *op, int status, const char *what,
                             const sd_bus_error *error) {
        systemd_op_abandon(&systemd_of_op(op)->base, &op->base);
        if (systemd_error_is_timeout(error))
                host_op_end(&op->base, -ETIMEDOUT, "%s: systemd does not answer", what);
        else
                host_op_end(&op->base, status, "%s: %s", what,
                            error->message && *error->message ? error->message : error->name);
}
