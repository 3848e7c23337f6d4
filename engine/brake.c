/* SPDX-License-Identifier: Apache-2.0 */

/* The brake: what the leader sees goes into the roll, what the roll comes to goes into the view,
 * into engine/brake, and into the log.
 *
 * The roll is kept for as long as this machine leads, through every list: a machine that vanishes
 * while the view is built anew is missed all the same. A new leader begins with what its first list
 * says: engine/brake of its predecessor, and the units whose rows are on machines that are not
 * there. Who has only rows that stay anyway (global units, units that fit nowhere else) may be gone
 * for good and does not count.
 */

#include "engine/brake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>

#include "lib/base/log.h"

enum {
        BRAKE_NAMES_MAX = 8,              /* machines named in a line of the log */
        BRAKE_RETRY_US = US_PER_S,        /* without memory it is judged anew then */
        BRAKE_EVICTS_PER_WRITE_MAX = 100, /* evict/ records removed by one transaction */
};

static Loop *brake_loop(const Brake *brake) {
        return registry_loop(brake->registry);
}

static uint64_t now_us(const Brake *brake) {
        return loop_now_us(brake_loop(brake));
}

static uint64_t wall_us(const Brake *brake) {
        return env_wall_us(loop_env(brake_loop(brake)));
}

/* The store */

static void brake_came_back(Brake *brake) {
        brake->back_us = now_us(brake);
}

static void on_connection(StoreListener *listener, bool is_connected, const char *detail) {
        Brake *brake = container_of(listener, Brake, connection);

        (void)detail;
        if (is_connected && brake->was_away)
                brake_came_back(brake);
        brake->was_away = !is_connected;
}

void brake_set_lease(Brake *brake, int64_t lease) {
        if (lease != 0 && brake->lease == 0 && brake->had_lease)
                brake_came_back(brake);
        brake->had_lease |= lease != 0;
        brake->lease = lease;
}

/* Has the store been away so lately that machines are on their way back? */
static bool store_is_fresh(const Brake *brake) {
        return brake->back_us > 0 && now_us(brake) - brake->back_us < ROLL_RETURN_US;
}

/* The looks at leases */

/* Gives those time that the look was about, if there is reason to. */
static void brake_learn(Brake *brake, const Pulse *pulse) {
        Roll *roll = &brake->roll;
        size_t n_others = roll->n_present > 0 ? roll->n_present - 1 : 0;
        size_t n_silent = pulse->n_others > 0 ? (pulse->n_silent * n_others + pulse->n_others - 1) /
                                                        pulse->n_others
                                              : 0;
        bool is_mass = roll->n_missing + n_silent >
                       evict_limit(roll->rule, roll->n_present + roll->n_missing);

        for (ListNode *node = list_first(&roll->missing); node;
             node = list_next(&roll->missing, node)) {
                RollMachine *machine = container_of(node, RollMachine, missing_node);
                int64_t left_s = pulse_left_s(pulse, machine->lease);
                uint64_t until_us;

                if (!machine->is_unlooked || machine->vanished_us > brake->pulse_us)
                        continue;
                machine->is_unlooked = false;
                if (is_mass && pulse->silent_left_s > left_s)
                        left_s = pulse->silent_left_s;
                until_us = now_us(brake) + (uint64_t)left_s * US_PER_S + BRAKE_SLACK_US;
                if ((is_mass || left_s > 0) && machine->hold_until_us < until_us)
                        machine->hold_until_us = until_us;
        }
        brake->is_dirty = true;
}

static void on_pulse(Pulse *pulse) {
        Brake *brake = container_of(pulse, Brake, pulse);

        if (!pulse->is_dropped)
                brake_learn(brake, pulse);
        brake->pulse_ended(brake);
}

/* Looks at the leases of those that vanished, so as to notice a record that was deleted by hand, and
 * of others. */
static void brake_look(Brake *brake) {
        Roll *roll = &brake->roll;
        bool is_due = false;
        int r;

        for (ListNode *node = list_first(&roll->missing); node && !is_due;
             node = list_next(&roll->missing, node))
                is_due = container_of(node, RollMachine, missing_node)->is_unlooked;
        if (!is_due || pulse_is_pending(&brake->pulse))
                return;

        brake->pulse_us = now_us(brake);
        r = pulse_begin(&brake->pulse, registry_store(brake->registry), on_pulse);
        for (ListNode *node = list_first(&roll->missing); node && r == 0;
             node = list_next(&roll->missing, node))
                if (container_of(node, RollMachine, missing_node)->is_unlooked)
                        pulse_add(&brake->pulse,
                                  container_of(node, RollMachine, missing_node)->lease, true);
        for (HashNode *node = hash_map_first(&roll->machines); node && r == 0;
             node = hash_map_next(&roll->machines, node)) {
                const RollMachine *machine = container_of(node, RollMachine, node);

                if (!list_node_is_linked(&machine->missing_node) &&
                    !streq(machine->id, brake->machine))
                        pulse_add(&brake->pulse, machine->lease, false);
        }
        if (r == 0)
                r = pulse_go(&brake->pulse);
        if (r < 0) {
                roll_give_time(roll, now_us(brake) + BRAKE_SLACK_US);
                roll_give_up_looks(roll);
        }
}

/* Leading */

void brake_begin(Brake *brake, const char *predecessor) {
        roll_done(&brake->roll);
        strlist_done(&brake->given_up);
        free(TAKE(brake->predecessor));
        brake->predecessor = predecessor ? strdup(predecessor) : NULL;
        brake->is_leading = true;
        brake->is_synced = brake->is_recorded = false;
        brake->told = 0;
}

void brake_end(Brake *brake) {
        brake->is_leading = false;
        timer_clear(&brake->timer);
        pulse_drop(&brake->pulse);
        roll_done(&brake->roll);
        strlist_done(&brake->given_up);
}

void brake_on_reset(Brake *brake) {
        roll_begin_list(&brake->roll);
        strlist_done(&brake->given_up);
}

static int on_machine(Brake *brake, const Record *record) {
        const char *id = record->key.machine;

        if (!record->is_deleted && record->is_bad && record->lease == 0)
                return 0;
        /* It goes because somebody wants that, and its units have been handed over. */
        if (!record->is_deleted && !record->is_bad && record->machine.is_leaving) {
                roll_left(&brake->roll, id);
                return 0;
        }
        if (!record->is_deleted)
                return roll_seen(&brake->roll, id, record->is_bad ? NULL : &record->machine,
                                 record->lease);

        roll_gone(&brake->roll, id, now_us(brake), wall_us(brake));
        return 0;
}

/* What the leader before held goes on being held. */
static int on_brake(Brake *brake, const Record *record) {
        int r = 0;

        brake->is_recorded = true;
        for (size_t i = 0; r == 0 && !record->is_bad && i < record->brake.n_machines; i++)
                r = roll_add_missing(&brake->roll, record->brake.machines[i].id,
                                     &record->brake.machines[i], now_us(brake), wall_us(brake));
        brake->roll.is_holding = !record->is_bad;
        brake->roll.since_s = record->brake.since_s;
        return r;
}

static void forget_given_up(StrList *given_up, const char *id) {
        for (size_t i = 0; i < given_up->n_items; i++)
                if (streq(given_up->items[i], id)) {
                        free(given_up->items[i]);
                        given_up->items[i] = given_up->items[--given_up->n_items];
                        return;
                }
}

static int on_evict(Brake *brake, const Record *record) {
        LogSubject subject = { .machine = record->key.machine };

        if (record->is_deleted) {
                forget_given_up(&brake->given_up, record->key.machine);
                return 0;
        }
        if (strlist_has(&brake->given_up, record->key.machine))
                return 0;

        if (brake->is_synced)
                log_about(LOG_NOTICE, &subject,
                          "Machine %.8s is given up by an operator: its units move",
                          record->key.machine);
        return strlist_add(&brake->given_up, record->key.machine);
}

int brake_on_record(Brake *brake, const Record *record) {
        brake->is_dirty = true;
        switch (record->key.kind) {
        case RECORD_MACHINE:
                return on_machine(brake, record);
        case RECORD_EVICT:
                return on_evict(brake, record);
        case RECORD_BRAKE:
                return brake->is_synced ? 0 : on_brake(brake, record);
        default:
                return 0;
        }
}

/* The machines that a new leader finds missing: whose units are placed there, and have not been
 * found unable to be anywhere else. */
static int brake_find_missing(Brake *brake, const Cluster *cluster) {
        int r = 0;

        for (HashNode *node = hash_map_first(&cluster->machines); r == 0 && node;
             node = hash_map_next(&cluster->machines, node)) {
                const ClusterMachine *machine = container_of(node, ClusterMachine, node);

                if (!machine->is_present && !machine->is_leaving && cluster_has_evictable(machine))
                        r = roll_add_missing(&brake->roll, machine->id, NULL, now_us(brake),
                                             wall_us(brake));
        }
        return r;
}

/* Only the machine that led is missing, so that is why there is a new leader. */
static bool brake_lost_leader_only(const Brake *brake) {
        const ListNode *first = list_first(&brake->roll.missing);

        return brake->roll.n_missing == 1 && brake->predecessor && !store_is_fresh(brake) &&
               streq(container_of(first, RollMachine, missing_node)->id, brake->predecessor);
}

int brake_on_synced(Brake *brake, const Cluster *cluster) {
        uint64_t until_us = now_us(brake) + BRAKE_ELECTION_US;
        bool is_first = !brake->is_synced;
        int r;

        brake->is_dirty = brake->is_synced = true;
        roll_end_list(&brake->roll, now_us(brake), wall_us(brake));
        if (!is_first)
                return 0;

        r = brake_find_missing(brake, cluster);
        if (store_is_fresh(brake) && brake->back_us + ROLL_RETURN_US > until_us)
                until_us = brake->back_us + ROLL_RETURN_US;
        if (!brake_lost_leader_only(brake))
                roll_give_time(&brake->roll, until_us);
        return r;
}

/* Deciding */

static void brake_name(const Brake *brake, char *names, size_t n_bytes) {
        const Roll *roll = &brake->roll;
        size_t n_named = 0, used = 0;

        names[0] = '\0';
        for (ListNode *node = list_first(&roll->missing); node && n_named < BRAKE_NAMES_MAX;
             node = list_next(&roll->missing, node), n_named++)
                used += (size_t)snprintf(names + used, n_bytes - used, "%s%.8s",
                                         n_named > 0 ? ", " : "",
                                         container_of(node, RollMachine, missing_node)->id);
        if (roll->n_missing > n_named)
                (void)snprintf(names + used, n_bytes - used, " and %zu more",
                               roll->n_missing - n_named);
}

static void brake_tell(const Brake *brake) {
        const Roll *roll = &brake->roll;
        size_t n_machines = roll->n_present + roll->n_missing;
        char names[BRAKE_NAMES_MAX * 16 + 32];

        if (!roll->is_holding) {
                log_line(LOG_NOTICE,
                         "Units move again away from machines that are lost: %zu of %zu machines "
                         "are missing now, and have %d s to come back",
                         roll->n_missing, n_machines, (int)(ROLL_RETURN_US / US_PER_S));
                return;
        }

        brake_name(brake, names, sizeof(names));
        log_line(LOG_ERR,
                 "%zu of %zu machines are missing (%s), and at most %zu may vanish at once "
                 "(eviction_limit): no unit is moved away from them. Look at the network and at "
                 "etcd. This ends when they are back; what is on machines that will not come back "
                 "moves after: fleetctl evict MACHINE...",
                 roll->n_missing, n_machines, names, evict_limit(roll->rule, n_machines));
}

void brake_turn(Brake *brake, Cluster *cluster) {
        Roll *roll = &brake->roll;
        bool was_holding = roll->is_holding;
        uint64_t next_us;
        int r;

        if (!brake->is_dirty)
                return;
        brake->is_dirty = false;

        if (store_is_fresh(brake))
                roll_give_time(roll, brake->back_us + ROLL_RETURN_US);
        for (ListNode *node = list_first(&roll->missing); node;
             node = list_next(&roll->missing, node)) {
                RollMachine *machine = container_of(node, RollMachine, missing_node);

                machine->is_given_up = strlist_has(&brake->given_up, machine->id);
        }
        r = roll_judge(roll, now_us(brake), wall_us(brake));
        if (roll->is_holding != was_holding)
                brake_tell(brake);

        for (ListNode *node = list_first(&roll->missing); node;
             node = list_next(&roll->missing, node)) {
                const RollMachine *machine = container_of(node, RollMachine, missing_node);

                cluster_hold_machine(cluster, machine->id, machine->is_held);
        }
        roll_forget(roll, now_us(brake));
        brake_look(brake);

        next_us = r < 0 ? now_us(brake) + BRAKE_RETRY_US : roll_next_us(roll, now_us(brake));
        if (next_us > 0)
                (void)timer_set_at(brake_loop(brake), &brake->timer, next_us);
        else
                timer_clear(&brake->timer);
}

static void on_timer(LoopTimer *timer) {
        container_of(timer, Brake, timer)->is_dirty = true;
}

/* The records */

/* Is what an operator said of a machine done with: is it back, or has it nothing left? */
static bool evict_is_over(const Brake *brake, const Cluster *cluster, const char *id) {
        const ClusterMachine *machine = cluster_find_machine(cluster, id);
        const RollMachine *missing = roll_find(&brake->roll, id);

        if (!machine || machine->is_present)
                return true;
        return machine->n_rows == 0 && (!missing || !brake->roll.is_holding);
}

bool brake_has_news(const Brake *brake, const Cluster *cluster) {
        if (!brake->is_synced)
                return false;
        if (brake->roll.is_holding ? brake->told != brake->roll.version : brake->is_recorded)
                return true;
        for (size_t i = 0; i < brake->given_up.n_items; i++)
                if (evict_is_over(brake, cluster, brake->given_up.items[i]))
                        return true;
        return false;
}

static int compare_machines(const void *a, const void *b) {
        return strcmp(((const Machine *)a)->id, ((const Machine *)b)->id);
}

/* Puts engine/brake; its strings are borrowed from the roll. */
static void brake_put(const Brake *brake, RegistryWrite *write) {
        const Roll *roll = &brake->roll;
        _cleanup_(freep) Machine *machines = calloc(roll->n_missing + 1, sizeof(Machine));
        BrakeRecord record = {
                .since_s = roll->since_s,
                .limit = evict_limit(roll->rule, roll->n_present + roll->n_missing),
                .machines = machines,
        };

        for (ListNode *node = list_first(&roll->missing); machines && node;
             node = list_next(&roll->missing, node)) {
                const RollMachine *machine = container_of(node, RollMachine, missing_node);

                machines[record.n_machines++] = (Machine){
                        .id = machine->id,
                        .primary_ip = machine->address,
                        .metadata = machine->metadata,
                        .missing_since_s = machine->missing_since_s,
                };
        }
        if (machines)
                qsort(machines, record.n_machines, sizeof(Machine), compare_machines);
        registry_write_put_brake(write, &record);
}

void brake_fill(Brake *brake, const Cluster *cluster, RegistryWrite *write) {
        StrList *given_up = &brake->given_up;
        unsigned n_removed = 0;

        if (brake->roll.is_holding && brake->told != brake->roll.version) {
                brake_put(brake, write);
                brake->is_recorded = true;
                brake->told = brake->roll.version;
        } else if (!brake->roll.is_holding && brake->is_recorded) {
                registry_write_delete(write, (RecordKey){ .kind = RECORD_BRAKE });
                brake->is_recorded = false;
        }

        for (size_t i = given_up->n_items; i-- > 0 && n_removed < BRAKE_EVICTS_PER_WRITE_MAX;) {
                const char *id = given_up->items[i];

                if (!evict_is_over(brake, cluster, id))
                        continue;
                registry_write_delete(write, (RecordKey){ .kind = RECORD_EVICT, .machine = id });
                forget_given_up(given_up, id);
                n_removed++;
        }
}

void brake_unwritten(Brake *brake) {
        brake->told = 0;
        brake->is_recorded = true;
}

/* The outside */

void brake_init(Brake *brake, Registry *registry, const char *machine, uint64_t seed,
                void (*pulse_ended)(Brake *brake)) {
        *brake = (Brake){
                .registry = registry,
                .machine = machine,
                .timer.fn = on_timer,
                .pulse_ended = pulse_ended,
        };
        roll_init(&brake->roll, seed);
        store_listen(registry_store(registry), &brake->connection, on_connection);
}

void brake_done(Brake *brake) {
        store_unlisten(&brake->connection);
        timer_clear(&brake->timer);
        roll_done(&brake->roll);
        strlist_done(&brake->given_up);
        free(TAKE(brake->predecessor));
}

void brake_set(Brake *brake, EvictRule rule, uint64_t ttl_us) {
        brake->roll.rule = rule;
        brake->roll.window_us = 2 * ttl_us;
        brake->roll.version++;
        brake->is_dirty = true;
}

size_t brake_n_held(const Brake *brake) {
        size_t n = 0;

        for (const ListNode *node = list_first(&brake->roll.missing); node;
             node = list_next(&brake->roll.missing, node))
                n += container_of(node, RollMachine, missing_node)->is_held;
        return n;
}

bool brake_is_pending(const Brake *brake) {
        return pulse_is_pending(&brake->pulse);
}
