/* SPDX-License-Identifier: Apache-2.0 */

/* The judgement on what a checkup has read. Pure: what is in the view, and nothing else.
 *
 * A note is worth knowing and nothing is wrong; everything else is a problem, with what to do about
 * it. Of each check at most DOCTOR_FINDINGS_MAX findings are told, the rest is counted.
 */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/doctor.h"

/* etcd's --quota-backend-bytes, where nothing else is set and it does not say (etcd before 3.6). */
enum { ETCD_QUOTA_BYTES = 2147483647 };

typedef struct Judge {
        Diagnosis *diagnosis;
        const char *check; /* static: the one under way */
        size_t n_told;     /* findings of it */
        size_t n_more;     /* ...that are not told */
        uint64_t n_problems;
        int error; /* the first; what follows is skipped */
} Judge;

static void judge_begin(Judge *judge, const char *check) {
        judge->check = check;
        judge->n_told = judge->n_more = 0;
        judge->n_problems = 0;
}

static void add_finding(Judge *judge, const Finding *finding) {
        Diagnosis *diagnosis = judge->diagnosis;
        Finding *findings = reallocarray(diagnosis->findings, diagnosis->n_findings + 1,
                                         sizeof(*findings));
        Finding *added;

        if (!findings) {
                judge->error = -ENOMEM;
                return;
        }
        diagnosis->findings = findings;
        added = &findings[diagnosis->n_findings++];
        *added = (Finding){ .is_note = finding->is_note };
        added->check = strdup(judge->check);
        added->what = strdup(finding->what);
        added->subject = finding->subject ? strdup(finding->subject) : NULL;
        added->remedy = finding->remedy ? strdup(finding->remedy) : NULL;
        if (!added->check || !added->what || !added->subject != !finding->subject ||
            !added->remedy != !finding->remedy)
                judge->error = -ENOMEM;
}

static void find(Judge *judge, const char *subject, const char *remedy, const char *format, ...)
        __attribute__((format(printf, 4, 5)));

/* A finding; without a remedy it is a note. */
static void find(Judge *judge, const char *subject, const char *remedy, const char *format, ...) {
        _cleanup_(freep) char *what = NULL;
        va_list arguments;

        judge->n_problems += !!remedy;
        if (judge->n_told == DOCTOR_FINDINGS_MAX) {
                judge->n_more++;
                return;
        }

        judge->n_told++;
        va_start(arguments, format);
        if (vasprintf(&what, format, arguments) < 0) {
                what = NULL;
                judge->error = -ENOMEM;
        }
        va_end(arguments);
        if (judge->error == 0)
                add_finding(judge, &(Finding){ .subject = (char *)subject,
                                               .what = what,
                                               .remedy = (char *)remedy,
                                               .is_note = !remedy });
}

static void judge_end(Judge *judge, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Ends the check with what was looked at. */
static void judge_end(Judge *judge, const char *format, ...) {
        Diagnosis *diagnosis = judge->diagnosis;
        CheckResult *checks, *added;
        va_list arguments;

        if (judge->n_more > 0 && judge->error == 0) {
                char more[64];

                (void)snprintf(more, sizeof(more), "%zu more findings of this kind", judge->n_more);
                add_finding(judge, &(Finding){ .what = more, .is_note = true });
        }
        checks = reallocarray(diagnosis->checks, diagnosis->n_checks + 1, sizeof(*checks));
        if (!checks || judge->error < 0) {
                diagnosis->checks = checks ? checks : diagnosis->checks;
                judge->error = -ENOMEM;
                return;
        }

        diagnosis->checks = checks;
        added = &checks[diagnosis->n_checks++];
        *added = (CheckResult){ .n_problems = judge->n_problems };
        added->name = strdup(judge->check);
        va_start(arguments, format);
        if (vasprintf(&added->summary, format, arguments) < 0)
                added->summary = NULL;
        va_end(arguments);
        if (!added->name || !added->summary)
                judge->error = -ENOMEM;
}

/* "web1 (10.0.0.1)", as far as it is known. */
static const char *label_of(const char *hostname, const char *address, char text[256]) {
        (void)snprintf(text, 256, "%s%s%s%s", hostname ? hostname : "a machine",
                       address ? " (" : "", address ? address : "", address ? ")" : "");
        return text;
}

/* The store */

/* The built-in store, which has no version of its own to tell. */
static void judge_built_in_space(Judge *judge, const StoreStatus *status, const char *endpoint) {
        if (status->is_full)
                find(judge, endpoint,
                     "make room on the disk that holds it, see journalctl -u fleet; fleet goes on "
                     "by itself",
                     "the store takes nothing more: %s. Units keep running, but nothing is "
                     "scheduled and no state is reported",
                     status->troubles);
}

static void judge_space(Judge *judge, const StoreStatus *status, const char *endpoint) {
        int64_t quota = status->quota_bytes > 0 ? status->quota_bytes : ETCD_QUOTA_BYTES;

        if (status->is_full)
                find(judge, endpoint,
                     "compact its history and defragment each member (etcdctl compact, etcdctl "
                     "defrag), raise --quota-backend-bytes if that is too little, then etcdctl "
                     "alarm disarm; fleet goes on by itself",
                     "the store is full (alarm NOSPACE): units keep running, but nothing is "
                     "scheduled and no state is reported");
        else if (status->size_bytes / 100 * 100 >= quota / 100 * DOCTOR_FULL_PERCENT)
                find(judge, endpoint,
                     "compact and defragment it before it is full, and let it compact by itself "
                     "(--auto-compaction-retention)",
                     "the store takes %lld MiB, which is near %s of %lld MiB",
                     (long long)(status->size_bytes >> 20),
                     status->quota_bytes > 0 ? "its quota" : "etcd's default quota",
                     (long long)(quota >> 20));
}

/* In MiB, or below one in KiB; returns `text`. */
static const char *format_size(int64_t n_bytes, char *text, size_t n_text) {
        bool is_large = n_bytes >= 1 << 20;

        (void)snprintf(text, n_text, "%lld %s", (long long)(n_bytes >> (is_large ? 20 : 10)),
                       is_large ? "MiB" : "KiB");
        return text;
}

static void judge_store(Judge *judge, const DoctorView *view) {
        const StoreStatus *status = &view->status;
        char size[32], used[32];

        judge_begin(judge, "store");
        if (view->store_outcome != 0)
                find(judge, view->endpoint, "look at etcd: etcdctl endpoint status, and its log",
                     "the store's member does not say how it is: %s",
                     store_outcome_to_string(view->store_outcome));
        else {
                if (*status->version)
                        judge_space(judge, status, view->endpoint);
                else
                        judge_built_in_space(judge, status, view->endpoint);
                if (status->is_corrupt)
                        find(judge, view->endpoint,
                             "replace the member whose data differ, see etcd's documentation on "
                             "data corruption",
                             "the store's members have different data (alarm CORRUPT)");
                if (!status->has_leader)
                        find(judge, view->endpoint, "bring back a majority of etcd's members",
                             "the store's member knows of no leader: nothing can be changed");
                if (*status->troubles && !status->is_full && !status->is_corrupt &&
                    status->has_leader)
                        find(judge, view->endpoint, "look at etcd: etcdctl endpoint status",
                             "the store's member says: %s", status->troubles);
        }
        judge_end(judge, "%s%s, %s, of which %s are in use",
                  *status->version ? "etcd " : "the built-in store", status->version,
                  format_size(status->size_bytes, size, sizeof(size)),
                  format_size(status->used_bytes, used, sizeof(used)));
}

/* Machines and their daemons */

static void judge_silence(Judge *judge, const DoctorView *view, const DoctorMachine *machine) {
        char label[256];

        (void)label_of(machine->record.hostname, machine->record.address, label);
        if (view->asked == 0 || machine->n_answers > 0)
                return;
        find(judge, machine->id,
             "look there: systemctl status fleet, journalctl -u fleet, and whether it reaches "
             "etcd. After agent_ttl it counts as lost, and its units are started elsewhere",
             "%s did not answer within %d s: its fleetd hangs, has lost the store, or is too old "
             "to know checkups (%s)",
             label, DOCTOR_PATIENCE_US / 1000000,
             machine->record.version ? machine->record.version : "unknown version");
}

static void judge_machine(Judge *judge, const DoctorView *view, const DoctorMachine *machine) {
        char label[256];

        if (machine->is_present && machine->record.is_leaving)
                find(judge, machine->id, NULL, "%s leaves the cluster, and hands its units over",
                     label_of(machine->record.hostname, machine->record.address, label));
        if (machine->is_present)
                judge_silence(judge, view, machine);
        else if (machine->is_held)
                find(judge, machine->id,
                     "find out what they have in common. Its units move when so many are back that "
                     "evictions go on, or at once: fleetctl evict",
                     "the machine is not there and keeps its units, because too many machines "
                     "vanished together (eviction_limit)");
        else if (machine->n_singles > 0)
                find(judge, machine->id,
                     "bring it back, or give the units another machine that fits",
                     "the machine is not there, and %zu units that fit nowhere else stay "
                     "scheduled to it",
                     machine->n_singles);
        else if (machine->n_rows > 0)
                find(judge, machine->id, NULL,
                     "the machine is not there; %zu global units stay scheduled to it until it is "
                     "back, or for an hour",
                     machine->n_rows);
}

static void judge_answer(Judge *judge, const DoctorAnswer *answer) {
        const ReportRecord *report = &answer->report;
        const char *id = answer->machine->id;
        char label[256];

        (void)label_of(report->hostname, report->address, label);
        if (report->why)
                find(judge, id,
                     "if both were made from one image, give this one an ID of its own: rm "
                     "/etc/machine-id && systemd-machine-id-setup, and reboot; else look at "
                     "journalctl -u fleet there",
                     "%s is kept out of the cluster: %s", label, report->why);
        if (report->is_host_lost)
                find(judge, id, "look there: systemctl is-system-running, journalctl -u fleet",
                     "systemd does not answer fleetd on %s: its units are not looked after", label);
        if (report->n_late > 0)
                find(judge, id, "look at journalctl -u fleet there, and at the store",
                     "%s could not report %llu of its %llu units for some seconds: what is shown "
                     "of them is not what systemd says",
                     label, (unsigned long long)report->n_late,
                     (unsigned long long)report->n_units);
}

static void judge_machines(Judge *judge, const DoctorView *view, HashNode *const *machines,
                           HashNode *const *answers) {
        size_t n_present = 0;

        judge_begin(judge, "machines");
        if (view->asked == 0)
                find(judge, NULL, "mend the store first",
                     "the machines cannot be asked how they are: %s",
                     view->unasked ? view->unasked : "-");
        for (size_t i = 0; i < view->machines.n_nodes; i++) {
                const DoctorMachine *machine = container_of(machines[i], DoctorMachine, node);

                n_present += machine->is_present;
                judge_machine(judge, view, machine);
        }
        for (size_t i = 0; i < view->answers.n_nodes; i++)
                judge_answer(judge, container_of(answers[i], DoctorAnswer, node));
        judge_end(judge, "%zu machines, %zu answers", n_present, view->answers.n_nodes);
}

/* How far this clock is ahead of ours at least, in ms; negative = behind. The answer was written
 * between the moments when we asked and when we found it. */
static int64_t skew_ms(const DoctorView *view, const DoctorAnswer *answer) {
        int64_t wall_ms = (int64_t)answer->report.wall_ms;

        if (wall_ms > (int64_t)answer->received_ms)
                return wall_ms - (int64_t)answer->received_ms;
        return wall_ms < (int64_t)view->asked_ms ? wall_ms - (int64_t)view->asked_ms : 0;
}

static void judge_clocks(Judge *judge, const DoctorView *view, HashNode *const *answers) {
        int64_t worst_ms = 0;

        judge_begin(judge, "clocks");
        for (size_t i = 0; i < view->answers.n_nodes; i++) {
                const DoctorAnswer *answer = container_of(answers[i], DoctorAnswer, node);
                int64_t ms = skew_ms(view, answer), size_ms = ms < 0 ? -ms : ms;
                char label[256];

                worst_ms = size_ms > worst_ms ? size_ms : worst_ms;
                if (size_ms * 1000 < DOCTOR_SKEW_US)
                        continue;
                find(judge, answer->machine->id,
                     "have it keep time: timedatectl set-ntp true (fleet itself does not depend "
                     "on it, logs and certificates do)",
                     "the clock of %s is at least %lld.%03lld s %s that of the machine that "
                     "answers here",
                     label_of(answer->report.hostname, answer->report.address, label),
                     (long long)(size_ms / 1000), (long long)(size_ms % 1000),
                     ms > 0 ? "ahead of" : "behind");
        }
        judge_end(judge,
                  worst_ms > 0 ? "%zu clocks, one of them %lld ms off at least"
                               : "%zu clocks, none seen to be off",
                  view->answers.n_nodes, (long long)worst_ms);
}

/* Versions of one program: a note that lists the machines by version, when there are several. */
static void judge_program(Judge *judge, const DoctorView *view, HashNode *const *answers,
                          const char *program, size_t offset) {
        const char *first = NULL, *other = NULL;
        size_t n_first = 0, n_other = 0;

        for (size_t i = 0; i < view->answers.n_nodes; i++) {
                const DoctorAnswer *answer = container_of(answers[i], DoctorAnswer, node);
                const char *version = *(char *const *)((const char *)&answer->report + offset);

                if (!version)
                        continue;
                first = first ? first : version;
                if (streq(version, first)) {
                        n_first++;
                        continue;
                }
                other = other ? other : version;
                n_other++;
        }
        if (other)
                find(judge, program, NULL,
                     "machines differ in %s: %zu have %s, %zu another version, such as %s", program,
                     n_first, first, n_other, other);
}

static void judge_versions(Judge *judge, const DoctorView *view, HashNode *const *answers) {
        judge_begin(judge, "versions");
        judge_program(judge, view, answers, "fleetd", offsetof(ReportRecord, version));
        judge_program(judge, view, answers, "etcd", offsetof(ReportRecord, store_version));
        judge_end(judge, "fleetd of %zu machines, and what serves them the store",
                  view->answers.n_nodes);
}

/* The leader */

static bool is_present(const DoctorView *view, const char *machine) {
        HashNode *node = hash_map_get(&view->machines, machine);

        return node && container_of(node, DoctorMachine, node)->is_present;
}

static void judge_leader(Judge *judge, const DoctorView *view) {
        judge_begin(judge, "leader");
        if (!view->leader)
                find(judge, NULL,
                     "look at journalctl -u fleet on the machines; at least one must not have "
                     "disable_engine set",
                     "no machine leads: nothing is scheduled");
        else if (!is_present(view, view->leader))
                find(judge, view->leader, "wait for agent_ttl; look at journalctl -u fleet",
                     "the leader's machine is not there");
        judge_end(judge, "%s", view->leader ? view->leader : "none");
}

/* Records */

/* What to do about a record that nothing explains; NULL when that is nothing. */
static const char *stray_remedy(const DoctorStray *stray) {
        static const struct {
                const char *prefix, *remedy;
        } remedies[] = {
                { "unit/", "submit the unit again (fleetctl submit --replace), or destroy it" },
                { "hold/", "when the unit runs on no machine, remove it with etcdctl del" },
                { "held/", "run 'systemctl restart fleet' on that machine; if it stays, remove it "
                           "with etcdctl del" },
        };

        if (stray->is_note)
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(remedies); i++)
                if (strncmp(stray->key, remedies[i].prefix, strlen(remedies[i].prefix)) == 0)
                        return remedies[i].remedy;
        return "fleet leaves it alone or repairs it by itself; if it stays, remove it with etcdctl "
               "del";
}

/* A hold without its other half is no agent's. Those of machines that are lost the leader removes. */
static void judge_holds(Judge *judge, const DoctorView *view) {
        for (HashNode *node = hash_map_first(&view->holds); node;
             node = hash_map_next(&view->holds, node)) {
                const DoctorHold *hold = container_of(node, DoctorHold, node);

                if (hold->machine && !hold->is_held && is_present(view, hold->machine))
                        find(judge, hold->unit,
                             "if that machine does not run it, remove hold/ of the unit with "
                             "etcdctl del",
                             "it is held for machine %.8s, which does not know that: it may start "
                             "nowhere else",
                             hold->machine);
        }
}

static void judge_records(Judge *judge, const DoctorView *view) {
        size_t n_unused = 0;

        judge_begin(judge, "records");
        for (size_t i = 0; i < view->n_strays; i++) {
                const DoctorStray *stray = &view->strays[i];

                find(judge, stray->key, stray_remedy(stray), "%s", stray->why);
        }
        judge_holds(judge, view);
        judge->n_more += view->n_more_strays;
        for (HashNode *node = hash_map_first(&view->files); node;
             node = hash_map_next(&view->files, node))
                n_unused += !container_of(node, DoctorFile, node)->is_used;
        judge_end(judge, "%zu units, %zu rows, %zu contents (%zu of them unused)",
                  view->units.n_nodes, view->n_rows, view->files.n_nodes, n_unused);
}

/* Units */

static bool file_is_there(const DoctorView *view, const char *hash) {
        HashNode *node = *hash ? hash_map_get(&view->files, hash) : NULL;

        if (node)
                container_of(node, DoctorFile, node)->is_used = true;
        return node || !*hash;
}

static void judge_place(Judge *judge, const DoctorView *view, const DoctorUnit *unit) {
        const char *id = unit->placement.machine, *why = unit->placement.why;

        if (!unit->has_placement) {
                if (unit->n_rows == 0)
                        find(judge, unit->name,
                             "look at journalctl -u fleet on the leader's machine",
                             "it is scheduled nowhere, and no leader has said why");
        } else if (!id)
                find(judge, unit->name, "change its requirements, or add a machine that meets them",
                     "no machine fits: %s", why ? why : "-");
        else if (!is_present(view, id))
                find(judge, unit->name,
                     "bring that machine back, or let the unit fit on another one",
                     "it is on machine %s, which is not there%s%s", id, why ? ": " : "",
                     why ? why : "");
        else if (!unit->has_row_there)
                find(judge, unit->name,
                     "wait a minute: the leader repairs it; else look at its log",
                     "its placement names machine %s, whose schedule does not have it", id);
        if (unit->placement.generation != 0 && unit->placement.generation < unit->record.generation)
                find(judge, unit->name, NULL, "the leader has not looked at the last request yet");
}

static void judge_unit(Judge *judge, const DoctorView *view, const DoctorUnit *unit) {
        if (!unit->is_known || unit->is_bad)
                return;
        if (!file_is_there(view, unit->record.file))
                find(judge, unit->name, "submit it again: fleetctl submit --replace",
                     "its content %.8s is missing in the store", unit->record.file);
        if (unit->record.desired != JOB_STATE_INACTIVE)
                judge_place(judge, view, unit);
}

/* A unit that has been brought to where it should be: is it there still? */
static void judge_settled(Judge *judge, const DoctorRow *row) {
        const StateRecord *state = &row->state;
        const char *name = row->unit->name, *id = row->machine->id;

        if (strcmp(state->hash, row->row.file) != 0)
                find(judge, name, "look at journalctl -u fleet there",
                     "on machine %s it has another content than it should", id);
        else if (row->row.desired == JOB_STATE_LAUNCHED && streq(state->active, "failed"))
                find(judge, name,
                     "fleetctl status and fleetctl journal say why; fleetctl start "
                     "starts it again",
                     "it has failed on machine %s after it was started", id);
        else if (row->row.desired == JOB_STATE_LAUNCHED && streq(state->active, "inactive"))
                find(judge, name, NULL,
                     "it is meant to run and does not on machine %s: it ended by itself, or "
                     "somebody stopped it there",
                     id);
}

static void judge_row(Judge *judge, const DoctorRow *row) {
        const StateRecord *state = &row->state;
        const char *name = row->unit->name, *id = row->machine->id;

        if (row->is_bad || !row->machine->is_present)
                return;
        if (!row->has_state)
                find(judge, name, "wait a moment, then look at journalctl -u fleet there",
                     "machine %s, to which it is scheduled, reports nothing of it", id);
        else if (state->why)
                find(judge, name, "mend the cause, then fleetctl start it again",
                     "on machine %s: %s", id, state->why);
        else if (state->waits)
                find(judge, name, NULL, "machine %s waits: %s", id, state->waits);
        else if (state->generation != row->row.generation)
                find(judge, name, NULL, "machine %s is at work on the last request", id);
        else
                judge_settled(judge, row);
}

static void judge_units(Judge *judge, const DoctorView *view, HashNode *const *units) {
        size_t n_meant = 0;

        judge_begin(judge, "units");
        for (size_t i = 0; i < view->units.n_nodes; i++) {
                const DoctorUnit *unit = container_of(units[i], DoctorUnit, node);

                n_meant += unit->record.desired != JOB_STATE_INACTIVE;
                judge_unit(judge, view, unit);
        }
        for (size_t i = 0; i < view->n_rows; i++) {
                (void)file_is_there(view, view->rows[i].row.file);
                judge_row(judge, &view->rows[i]);
        }
        judge_end(judge, "%zu units, %zu of them to be loaded or launched", view->units.n_nodes,
                  n_meant);
}

int doctor_judge(DoctorView *view, Diagnosis *ret_diagnosis) {
        _cleanup_(diagnosis_done) Diagnosis diagnosis = { 0 };
        _cleanup_(freep) HashNode **machines = NULL;
        _cleanup_(freep) HashNode **answers = NULL;
        _cleanup_(freep) HashNode **units = NULL;
        Judge judge = { .diagnosis = &diagnosis };

        if (hash_map_sorted(&view->machines, &machines) < 0 ||
            hash_map_sorted(&view->answers, &answers) < 0 ||
            hash_map_sorted(&view->units, &units) < 0)
                return -ENOMEM;
        diagnosis.machine = view->machine ? strdup(view->machine) : NULL;

        judge_store(&judge, view);
        judge_leader(&judge, view);
        judge_machines(&judge, view, machines, answers);
        judge_clocks(&judge, view, answers);
        judge_versions(&judge, view, answers);
        judge_units(&judge, view, units);
        judge_records(&judge, view);
        if (judge.error < 0)
                return judge.error;

        *ret_diagnosis = diagnosis;
        diagnosis = (Diagnosis){ 0 };
        return 0;
}

int doctor_judge_alone(const char *machine, const ReportRecord *report, bool is_closed,
                       Diagnosis *ret_diagnosis) {
        _cleanup_(diagnosis_done) Diagnosis diagnosis = { 0 };
        Judge judge = { .diagnosis = &diagnosis };

        diagnosis.machine = machine ? strdup(machine) : NULL;
        judge_begin(&judge, "store");
        find(&judge, machine,
             is_closed ? "have this machine use the store that has the records now, and run "
                         "'systemctl restart fleet' here; or, to stay with the old one, run "
                         "'fleetd store open' for it before any machine uses the new one"
                       : "look at etcd, or at the machine that serves the store, and at the way to "
                         "it from here; a machine that was kept out joins by itself. Ask another "
                         "machine's API how the rest of the cluster is",
             "this machine is not in the cluster: %s. Its %llu units keep running",
             report->why ? report->why : "it cannot reach etcd",
             (unsigned long long)report->n_units);
        judge_end(&judge, "out of reach");
        judge_begin(&judge, "machines");
        if (report->is_host_lost)
                find(&judge, machine, "systemctl is-system-running, journalctl -u fleet",
                     "systemd does not answer fleetd on this machine");
        judge_end(&judge, "only this one was looked at");
        if (judge.error < 0)
                return judge.error;

        *ret_diagnosis = diagnosis;
        diagnosis = (Diagnosis){ 0 };
        return 0;
}
