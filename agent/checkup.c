/* SPDX-License-Identifier: Apache-2.0 */

/* Answers to checkups.
 *
 *   checkup/ask changes --> ask the store's member how it is --> write report/<machine>/<lease>
 *
 * One answer is under way at a time; what is asked meanwhile is answered after it, once. An answer
 * that cannot be written is not tried again: whoever asked takes silence for one.
 */

#include "agent/checkup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "lib/base/log.h"
#include "lib/registry/follow.h"
#include "lib/registry/write.h"

struct Checkup {
        Registry *registry; /* borrowed */
        char *machine;      /* owned */
        CheckupSource source;
        RegistryFollow follow; /* checkup/ask */
        StoreRequest status;
        RegistryWrite write;
        int64_t asked;    /* revision of the newest checkup that we know of */
        int64_t answered; /* ...that was answered, or is being */
        bool was_synced;
        bool is_stopped;
};

static void checkup_answer(Checkup *checkup);

static void on_written(RegistryWrite *write, int status, int64_t revision) {
        Checkup *checkup = container_of(write, Checkup, write);

        (void)revision;
        if (status != 0 && status != -ECANCELED)
                log_line(LOG_NOTICE, "Cannot answer a checkup: %s",
                         registry_outcome_to_string(status));
        checkup_answer(checkup);
}

static void checkup_write(Checkup *checkup, const char *store_version) {
        ReportRecord report = { 0 };
        int64_t lease = checkup->source.fill(&report, checkup->source.userdata);
        char instance[32];

        if (lease == 0)
                return;

        report.asked = (uint64_t)checkup->answered;
        report.wall_ms = env_wall_us(loop_env(registry_loop(checkup->registry))) / US_PER_MS;
        report.store_version = (char *)store_version;
        (void)snprintf(instance, sizeof(instance), "%" PRIx64, (uint64_t)lease);
        registry_write_begin(&checkup->write, checkup->registry);
        registry_write_put_report(&checkup->write, checkup->machine, instance, &report, lease);
        if (registry_write_commit(&checkup->write, on_written) < 0)
                log_line(LOG_NOTICE, "Cannot answer a checkup: %s", strerror(ENOMEM));
}

/* Without the member's word the answer goes out as well as it can. */
static void on_status(StoreRequest *request, int status, const StoreReply *reply) {
        Checkup *checkup = container_of(request, Checkup, status);

        if (!checkup->is_stopped)
                checkup_write(checkup, status == 0 ? reply->status.version : NULL);
}

static void checkup_answer(Checkup *checkup) {
        if (checkup->is_stopped || checkup->answered >= checkup->asked ||
            store_request_is_pending(&checkup->status) ||
            registry_write_is_pending(&checkup->write))
                return;

        checkup->answered = checkup->asked;
        if (store_status(registry_store(checkup->registry), &checkup->status, STORE_CALL_TIMEOUT_US,
                         on_status) < 0)
                checkup_write(checkup, NULL);
}

static void on_record(RegistryFollow *follow, const Record *record) {
        Checkup *checkup = container_of(follow, Checkup, follow);

        if (record->is_deleted || record->mod_revision <= checkup->asked)
                return;

        checkup->asked = record->mod_revision;
        if (checkup->was_synced)
                checkup_answer(checkup);
        else
                checkup->answered = checkup->asked;
}

static void on_synced(RegistryFollow *follow, int64_t revision) {
        (void)revision;
        container_of(follow, Checkup, follow)->was_synced = true;
}

int checkup_new(Checkup **ret_checkup, Registry *registry, const char *machine,
                const CheckupSource *source) {
        static const RegistryFollowFns fns = { .on_record = on_record, .on_synced = on_synced };
        static const RegistryFollowKey key = { .key = { .kind = RECORD_CHECKUP } };
        _cleanup_(checkup_freep) Checkup *checkup = calloc(1, sizeof(*checkup));
        int r;

        if (!checkup)
                return -ENOMEM;

        checkup->registry = registry;
        checkup->source = *source;
        checkup->machine = strdup(machine);
        if (!checkup->machine)
                return -ENOMEM;

        r = registry_follow_start(registry, &checkup->follow, &key, 1, &fns);
        if (r < 0)
                return r;

        *ret_checkup = TAKE(checkup);
        return 0;
}

void checkup_stop(Checkup *checkup) {
        checkup->is_stopped = true;
        registry_follow_stop(&checkup->follow);
        registry_write_cancel(&checkup->write);
        store_cancel(&checkup->status);
}

Checkup *checkup_free(Checkup *checkup) {
        if (!checkup)
                return NULL;

        registry_write_clear(&checkup->write);
        free(checkup->machine);
        free(checkup);
        return NULL;
}
