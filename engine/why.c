/* SPDX-License-Identifier: Apache-2.0 */

/* Reasons.
 *
 * Machines are named in this order: those that MachineID means, or that have a peer, or that
 * satisfy MachineMetadata, for there something else is in the way; then the others; by ID within
 * each. Only machines that are named are looked at one by one. The rest is counted from what the
 * pool knows, so that a thousand units that fit on none of thousands of machines do not stop the
 * leader.
 *
 * Each machine gets its share of the text, so that the end of it, which counts the rest, has room.
 */

#include "engine/why.h"

#include <errno.h>
#include <stdio.h>

#include "engine/fit.h"

enum {
        LIST_BYTES_MAX = 700, /* of the machines that are named */
        REST_BYTES_MAX = 220, /* of what counts the rest */
};

/* What is said of machines one by one, and of the rest together. */
typedef struct Why {
        Candidates *candidates;  /* borrowed */
        const ClusterUnit *unit; /* borrowed */
        const ClusterMachine *machines[CANDIDATES_LISTED];
        size_t n_machines;
        size_t n_close; /* of them, those that come closest */
} Why;

/* Appends text cut to `n_max` bytes, at a character of UTF-8. Returns 0 or -ENOMEM. */
static int append_cut(Buf *out, const Buf *text, size_t n_max) {
        static const char dots[] = "...";
        size_t n = text->n_bytes;
        int r;

        if (n == 0)
                return 0;
        if (n <= n_max)
                return buf_append(out, text->data, n);

        n = n_max - (sizeof(dots) - 1);
        while (n > 0 && ((unsigned char)text->data[n] & 0xC0) == 0x80)
                n--;
        r = buf_append(out, text->data, n);
        return r < 0 ? r : buf_append_string(out, dots);
}

/* "disk=ssd or disk=hdd": what MachineMetadata asks of the key. */
static int append_wanted(Buf *out, const Requirements *requirements, const char *key) {
        const char *separator = "";
        int r = 0;

        for (size_t i = 0; r == 0 && i < requirements->n_metadata; i++) {
                const MetadataRequirement *wanted = &requirements->metadata[i];

                if (!streq(wanted->key, key))
                        continue;
                r = buf_printf(out, "%s%s=%s", separator, wanted->key, wanted->value);
                separator = " or ";
        }
        return r;
}

static int append_metadata_misfit(Buf *out, const ClusterUnit *unit, const ClusterMachine *machine,
                                  const char *key) {
        const char *value = metadata_get(&machine->merged, key);
        int r = buf_printf(out, "%.8s: metadata ", machine->id);

        if (r == 0)
                r = append_wanted(out, unit->requirements, key);
        if (r == 0)
                r = value ? buf_printf(out, " wanted, has %s=%s", key, value)
                          : buf_printf(out, " wanted, has no %s", key);
        return r;
}

static int append_conflict(Buf *out, const ClusterUnit *unit, const ClusterMachine *machine,
                           const ClusterUnit *other) {
        static const Requirements none;

        /* Which of the two says so? */
        if (requirements_conflict(unit->name, unit->requirements, other->name, &none))
                return buf_printf(out, "%.8s: conflicts with %s", machine->id, other->name);
        return buf_printf(out, "%.8s: %s conflicts with it", machine->id, other->name);
}

static int append_misfit(Buf *out, Cluster *cluster, const ClusterUnit *unit,
                         const ClusterMachine *machine) {
        Misfit misfit = fit_explain(cluster, unit, machine);

        switch (misfit.kind) {
        case MISFIT_METADATA:
                return append_metadata_misfit(out, unit, machine, misfit.key);
        case MISFIT_PEER:
                return buf_printf(out, "%.8s: MachineOf=%s is not there", machine->id,
                                  misfit.other->name);
        case MISFIT_CONFLICT:
                return append_conflict(out, unit, machine, misfit.other);
        case MISFIT_REPLACED:
                return buf_printf(out, "replaced by %s on %.8s", misfit.other->name, machine->id);
        case MISFIT_MACHINE_ID:
                return buf_printf(out, "%.8s: MachineID=%s", machine->id,
                                  unit->requirements->machine_id);
        default:
                return buf_printf(out, "%.8s: fits by itself", machine->id);
        }
}

/* Names a machine, once. Of too many, those with the lowest IDs stay. */
static void list_machine(Why *why, const ClusterMachine *machine) {
        size_t at = why->n_machines;

        while (at > 0 && strcmp(machine->id, why->machines[at - 1]->id) <= 0) {
                if (machine == why->machines[--at])
                        return;
        }
        if (at == CANDIDATES_LISTED)
                return;
        if (why->n_machines < CANDIDATES_LISTED)
                why->n_machines++;
        memmove(&why->machines[at + 1], &why->machines[at],
                (why->n_machines - at - 1) * sizeof(ClusterMachine *));
        why->machines[at] = machine;
}

static int append_listed(const Why *why, Buf *out) {
        size_t share = LIST_BYTES_MAX / (why->n_machines > 0 ? why->n_machines : 1) - strlen("; ");
        int r = 0;

        for (size_t i = 0; r == 0 && i < why->n_machines; i++) {
                _cleanup_(buf_done) Buf clause = buf_make(SIZE_MAX / 4);

                r = append_misfit(&clause, why->candidates->cluster, why->unit, why->machines[i]);
                if (r == 0)
                        r = buf_append_string(out, i > 0 ? "; " : "");
                if (r == 0)
                        r = append_cut(out, &clause, share);
        }
        return r;
}

/* "; and 412 more: metadata region=eu" */
static int append_rest(const Why *why, size_t n_rest, const Buf *lacks, Buf *out) {
        int r;

        if (n_rest == 0)
                return 0;

        r = buf_printf(out, "%sand %zu more", why->n_machines > 0 ? "; " : "", n_rest);
        if (r == 0 && lacks->n_bytes > 0)
                r = buf_append_string(out, ": ");
        return r < 0 ? r : append_cut(out, lacks, REST_BYTES_MAX);
}

static int write_named(Why *why, Buf *out) {
        _cleanup_(buf_done) Buf lacks = buf_make(SIZE_MAX / 4);
        const Cluster *cluster = why->candidates->cluster;
        const char *machine_id = why->unit->requirements->machine_id;
        size_t first, n;
        int r;

        r = buf_printf(&lacks, "MachineID=%s", machine_id);
        if (r < 0)
                return r;

        candidates_named(why->candidates, machine_id, &first, &n);
        if (n == 0) {
                r = append_cut(out, &lacks, LIST_BYTES_MAX);
                return r < 0 ? r : buf_append_string(out, ": no such machine is registered");
        }

        for (size_t i = first; i < first + n; i++)
                list_machine(why, cluster->by_id[i]);
        r = append_listed(why, out);
        return r < 0 ? r : append_rest(why, cluster->n_present - n, &lacks, out);
}

static bool is_on_any(const ClusterUnit *unit) {
        for (ListNode *node = list_first(&unit->rows); node; node = list_next(&unit->rows, node)) {
                const ClusterRow *row = container_of(node, ClusterRow, unit_node);

                if (row->is_wanted && row->machine->is_present)
                        return true;
        }
        return false;
}

static void list_machines_of(Why *why, const ClusterUnit *peer) {
        for (ListNode *node = list_first(&peer->rows); node; node = list_next(&peer->rows, node)) {
                const ClusterRow *row = container_of(node, ClusterRow, unit_node);

                if (row->is_wanted && row->machine->is_present)
                        list_machine(why, row->machine);
        }
}

/* How many machines that lack the key are named already. */
static size_t n_listed_without(const Why *why, const char *key) {
        const Requirements *requirements = why->unit->requirements;
        size_t n = 0;

        for (size_t i = 0; i < why->n_machines; i++) {
                const char *missing = fit_missing_key(requirements, &why->machines[i]->merged);

                n += missing && streq(missing, key);
        }
        return n;
}

/* What the machines that are not named lack, with how many they are when it is not one thing. */
static int append_lacks(const Why *why, const CandidatesPool *pool, size_t n_rest, Buf *out) {
        size_t n_taken = pool->n_machines - why->n_close;
        int r = 0;

        for (size_t i = 0; r == 0 && i < pool->n_missing; i++) {
                const CandidatesMissing *missing = &pool->missing[i];
                size_t n = missing->n_machines - n_listed_without(why, missing->key);

                if (n == 0)
                        continue;
                r = buf_append_string(out, out->n_bytes > 0 ? ", " : "");
                if (r == 0 && n < n_rest)
                        r = buf_printf(out, "%zu ", n);
                if (r == 0)
                        r = buf_append_string(out, "metadata ");
                if (r == 0)
                        r = append_wanted(out, why->unit->requirements, missing->key);
        }
        if (r == 0 && n_taken > 0)
                r = n_taken < n_rest ? buf_printf(out, "%s%zu conflicts",
                                                  out->n_bytes > 0 ? ", " : "", n_taken)
                                     : buf_append_string(out, "conflicts");
        return r;
}

static int write_others(Why *why, Buf *out) {
        _cleanup_(buf_done) Buf lacks = buf_make(SIZE_MAX / 4);
        const Cluster *cluster = why->candidates->cluster;
        CandidatesPool *pool;
        size_t n_rest;
        int r;

        r = candidates_pool(why->candidates, why->unit, &pool);
        if (r < 0)
                return r;

        for (size_t i = 0; i < pool->n_lowest; i++)
                list_machine(why, cluster->by_id[pool->lowest[i]]);
        why->n_close = why->n_machines;
        for (size_t i = 0; i < cluster->n_present && why->n_machines < CANDIDATES_LISTED; i++)
                if (fit_missing_key(why->unit->requirements, &cluster->by_id[i]->merged))
                        list_machine(why, cluster->by_id[i]);

        n_rest = cluster->n_present - why->n_machines;
        r = append_listed(why, out);
        if (r == 0)
                r = append_lacks(why, pool, n_rest, &lacks);
        return r < 0 ? r : append_rest(why, n_rest, &lacks, out);
}

/* Units that name each other go together or not at all: neither is what the other waits for. */
static bool is_followed_by(const ClusterUnit *unit, const ClusterUnit *peer) {
        for (ListNode *node = list_first(&peer->follows); node;
             node = list_next(&peer->follows, node))
                if (container_of(node, ClusterFollow, follower_node)->peer == unit)
                        return true;
        return false;
}

static int write_follower(Why *why, Buf *out) {
        _cleanup_(buf_done) Buf lacks = buf_make(SIZE_MAX / 4);
        const ClusterUnit *unit = why->unit;
        int r = 0;

        for (ListNode *node = list_first(&unit->follows); r == 0 && node;
             node = list_next(&unit->follows, node)) {
                const ClusterUnit *peer = container_of(node, ClusterFollow, follower_node)->peer;

                if (is_followed_by(unit, peer))
                        continue;
                if (!is_on_any(peer)) {
                        buf_clear(&lacks);
                        r = buf_printf(&lacks, "MachineOf=%s is on no machine", peer->name);
                        return r < 0 ? r : append_cut(out, &lacks, LIST_BYTES_MAX);
                }
                list_machines_of(why, peer);
                if (lacks.n_bytes == 0 && !(peer->requirements && peer->requirements->global))
                        r = buf_printf(&lacks, "MachineOf=%s", peer->name);
        }
        if (r == 0 && why->n_machines == 0)
                return write_others(why, out);
        if (r == 0)
                r = append_listed(why, out);
        return r < 0 ? r
                     : append_rest(why, why->candidates->cluster->n_present - why->n_machines,
                                   &lacks, out);
}

int why_write(Candidates *candidates, const ClusterUnit *unit, const ClusterMachine *lost,
              Buf *out) {
        Why why = { .candidates = candidates, .unit = unit };
        int r = 0;

        if (lost)
                r = buf_printf(out, "its machine %.8s is %s, and no other fits: ", lost->id,
                               lost->is_leaving ? "leaving" : "not there");
        if (r < 0)
                return r;

        if (candidates->cluster->n_present == 0)
                return buf_append_string(out, !list_is_empty(&candidates->cluster->leaving)
                                                      ? "no machine is registered that stays"
                                                      : "no machine is registered");
        if (unit->requirements->machine_id)
                return write_named(&why, out);
        if (!list_is_empty(&unit->follows))
                return write_follower(&why, out);
        return write_others(&why, out);
}
