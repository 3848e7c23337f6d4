/* SPDX-License-Identifier: Apache-2.0 */

/* The plan is made in passes, so that a thousand units cost two rounds of requests and not two
 * thousand:
 *
 *     names and paths -> units in the cluster -> local files -> templates in the cluster ->
 * decisions -> checks
 *
 * Where the content of an instance comes from, first that exists:
 *
 *     creating               replacing (--replace)
 *     its own file           its own file
 *     template named, too    template named, too
 *     template in cluster    template beside it
 *     template beside it     template in cluster
 *
 * so --replace prefers what the user has before him over what the cluster has from earlier.
 * Templates are decided before instances: an instance gets the template's new content in whichever
 * order both are named.
 *
 * Texts are those of contract section 2.6.
 */

#include "fleetctl/plan.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fleetctl/unit-args.h"
#include "fleetctl/unit-check.h"
#include "lib/model/job-state.h"
#include "lib/unit/requirements.h"
#include "lib/unit/unit-name.h"

void plan_done(Plan *plan) {
        for (size_t i = 0; i < plan->n_entries; i++) {
                PlanEntry *entry = &plan->entries[i];

                unit_done(&entry->current);
                unit_file_free(entry->local);
                unit_file_free(entry->content);
                free(entry->local_path);
        }
        for (size_t i = 0; plan->cluster_templates && i < plan->templates.n_items; i++)
                unit_done(&plan->cluster_templates[i]);

        page_done(&plan->listed);
        free(plan->instances);
        hash_map_done(&plan->by_name);
        free(plan->entries);
        free(plan->cluster_templates);
        resolved_done(&plan->resolved);
        strlist_done(&plan->templates);
        strlist_done(&plan->notes);
        strlist_done(&plan->warnings);
        strlist_done(&plan->spelling);
        *plan = (Plan){ 0 };
}

static int add_note(StrList *notes, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int add_note(StrList *notes, const char *format, ...) {
        _cleanup_(freep) char *note = NULL;
        va_list args;
        int n;

        va_start(args, format);
        n = vasprintf(&note, format, args);
        va_end(args);
        if (n < 0) {
                note = NULL;
                return -ENOMEM;
        }
        return strlist_add(notes, note);
}

static int file_copy(const UnitFile *file, UnitFile **ret_copy) {
        _cleanup_(unit_file_freep) UnitFile *copy = NULL;
        int r;

        r = unit_file_new(&copy);
        for (size_t i = 0; r == 0 && i < file->n_options; i++)
                r = unit_file_add(copy, file->options[i].section, file->options[i].name,
                                  file->options[i].value);
        if (r < 0)
                return r;

        *ret_copy = TAKE(copy);
        return 0;
}

/* --- gathering --- */

static int check_count(size_t n_units, Diag *diag) {
        if (n_units <= PLAN_MAX_UNITS)
                return 0;
        return diag_set(diag, -E2BIG,
                        "%zu units are more than one request can hold, which is %d, and they are "
                        "changed in one, all or none: name fewer at a time",
                        n_units, PLAN_MAX_UNITS);
}

/* Who asked for all that match asked for no template to be started. */
static int gather_names(Plan *plan, Client *client, const StrList *words,
                        const PlanOptions *options, Diag *diag) {
        Resolved *resolved = &plan->resolved;
        int r;

        r = resolve_words(client, words, resolved, diag);
        if (r < 0)
                return r;
        if (options->skip_templates)
                resolved_drop_matches(resolved, unit_name_is_template);
        if (resolved->unmatched.n_items > 0)
                return diag_set(diag, -ENOENT, "no unit in the cluster matches %.200s",
                                resolved->unmatched.items[0]);

        for (size_t i = 0; i < resolved->names.n_items; i++) {
                const char *name = resolved->names.items[i];

                r = unit_name_check(name, diag);
                if (r < 0)
                        return name[0] ? diag_wrap(diag, r, "%.64s", name) : r;
        }
        return check_count(resolved->names.n_items, diag);
}

static int gather_entries(Plan *plan) {
        const StrList *names = &plan->resolved.names;
        int r = 0;

        plan->entries = calloc(names->n_items + 1, sizeof(*plan->entries));
        if (!plan->entries)
                return -ENOMEM;
        plan->n_entries = names->n_items;

        for (size_t i = 0; r == 0 && i < plan->n_entries; i++) {
                PlanEntry *entry = &plan->entries[i];

                entry->name = names->items[i];
                entry->path = plan->resolved.paths.items[i];
                entry->is_template = unit_name_is_template(entry->name);
                r = hash_map_put(&plan->by_name, &entry->node, entry->name);
        }
        return r;
}

static int gather_units(Plan *plan, Client *client, Diag *diag) {
        _cleanup_(freep) Unit *units = NULL;
        int r;

        units = calloc(plan->n_entries + 1, sizeof(*units));
        if (!units)
                return -ENOMEM;

        r = resolved_get_units(&plan->resolved, client, units, diag);
        for (size_t i = 0; i < plan->n_entries; i++)
                plan->entries[i].current = units[i];
        return r;
}

static int gather_local_template(PlanEntry *entry, Diag *diag) {
        int r;

        r = unit_args_template_path(entry->path, &entry->local_path);
        if (r < 0)
                return r;

        r = unit_args_load_file(entry->local_path, &entry->local, diag);
        if (r < 0)
                return diag_wrap(diag, r, "failed getting Unit(%s) from template: %s", entry->path,
                                 entry->local_path);
        entry->is_local_template = true;
        return 0;
}

static int gather_local(PlanEntry *entry, Diag *diag) {
        int r;

        r = unit_args_load_file(entry->path, &entry->local, diag);
        if (r < 0)
                return diag_wrap(diag, r, "failed getting Unit(%s) from file", entry->path);
        if (r == UNIT_ARGS_E_NO_FILE)
                return unit_name_is_instance(entry->name) ? gather_local_template(entry, diag) : 0;

        entry->local_path = strdup(entry->path);
        return entry->local_path ? 0 : -ENOMEM;
}

/* Does the decision on this entry need to know its template in the cluster? */
static bool needs_template(const PlanEntry *entry, const PlanOptions *options) {
        bool has_own_file = entry->local && !entry->is_local_template;

        return unit_name_is_instance(entry->name) && !has_own_file &&
               (!entry->current.name || options->replace);
}

static int gather_templates(Plan *plan, const PlanOptions *options, Client *client, Diag *diag) {
        _cleanup_(strlist_done) StrList wanted = { 0 };
        int r;

        for (size_t i = 0; i < plan->n_entries; i++) {
                _cleanup_(freep) char *name = NULL;

                if (!needs_template(&plan->entries[i], options))
                        continue;
                r = unit_name_template(plan->entries[i].name, &name);
                if (r == 0)
                        r = strlist_add(&wanted, name);
                if (r < 0)
                        return r;
        }

        r = unit_args_read(&wanted, &plan->templates, NULL, diag);
        if (r < 0 || plan->templates.n_items == 0)
                return r;

        plan->cluster_templates = calloc(plan->templates.n_items, sizeof(Unit));
        if (!plan->cluster_templates)
                return -ENOMEM;
        return client_get_units(client, &plan->templates, plan->cluster_templates, diag);
}

/* --- deciding --- */

static const UnitFile *template_in_plan(const Plan *plan, const char *template) {
        HashNode *node = hash_map_get(&plan->by_name, template);
        PlanEntry *entry = node ? container_of(node, PlanEntry, node) : NULL;

        return entry ? entry->content : NULL;
}

static const UnitFile *template_in_cluster(const Plan *plan, const char *template) {
        for (size_t i = 0; i < plan->templates.n_items; i++)
                if (streq(plan->templates.items[i], template))
                        return plan->cluster_templates[i].options;
        return NULL;
}

static int no_template(const PlanEntry *entry, const char *template, Diag *diag) {
        return diag_set(
                diag, -ENOENT,
                "failed getting Unit(%s) from template: unable to find template Unit(%s) in "
                "Registry or on filesystem",
                entry->path, template);
}

static int warn_template_differs(Plan *plan, const PlanEntry *entry, const char *template) {
        return add_note(
                &plan->warnings,
                "WARNING: Unit %s in registry differs from local template unit file %s. Add "
                "--replace to override.",
                template, entry->local_path);
}

static int find_template(Plan *plan, const PlanEntry *entry, bool replace,
                         const UnitFile **ret_file, Diag *diag) {
        _cleanup_(freep) char *template = NULL;
        const UnitFile *named, *cluster;
        int r;

        r = unit_name_template(entry->name, &template);
        if (r < 0)
                return r;

        named = template_in_plan(plan, template);
        cluster = template_in_cluster(plan, template);
        if (!named && !cluster && !entry->local)
                return no_template(entry, template, diag);

        if (!named && !replace && cluster && entry->local &&
            !unit_file_equals(cluster, entry->local)) {
                r = warn_template_differs(plan, entry, template);
                if (r < 0)
                        return r;
        }

        if (named)
                *ret_file = named;
        else if (cluster && (!replace || !entry->local))
                *ret_file = cluster;
        else
                *ret_file = entry->local;
        return 0;
}

/* Where the content of a unit that is to be written comes from. */
static int find_source(Plan *plan, const PlanEntry *entry, bool replace, const UnitFile **ret_file,
                       Diag *diag) {
        if (entry->local && !entry->is_local_template) {
                *ret_file = entry->local;
                return 0;
        }
        if (unit_name_is_instance(entry->name))
                return find_template(plan, entry, replace, ret_file, diag);
        if (!entry->current.name)
                return diag_set(diag, -ENOENT,
                                "unable to find Unit(%s) in Registry or on filesystem",
                                entry->name);
        return diag_set(
                diag, -ENOENT,
                "error Unit %s does not seem to be a template unit: --replace needs its file, "
                "and there is none at %s",
                entry->name, entry->path);
}

static int decide_keep(Plan *plan, const PlanEntry *entry) {
        if (!entry->local || !entry->current.options ||
            unit_file_equals(entry->local, entry->current.options))
                return 0;

        return add_note(
                &plan->warnings,
                "WARNING: Unit %s in registry differs from local %sunit file %s. Add --replace to "
                "override.",
                entry->name, entry->is_local_template ? "template " : "", entry->local_path);
}

static int decide_replace(Plan *plan, PlanEntry *entry, const PlanOptions *options, Diag *diag) {
        const char *desired = entry->current.desired_state ? entry->current.desired_state
                                                           : "inactive";
        JobState state = job_state_from_string(desired);
        const UnitFile *source;
        int r;

        r = find_source(plan, entry, true, &source, diag);
        if (r < 0)
                return r;

        if (entry->current.options && unit_file_equals(source, entry->current.options))
                return add_note(&plan->notes, "Found same Unit(%s) in Registry, nothing to do",
                                entry->name);
        if (options->only_inactive && state > JOB_STATE_INACTIVE)
                return add_note(
                        &plan->warnings,
                        "Warning: can not replace Unit(%s) in state '%s', use the appropriate "
                        "command: fleetctl %s --replace",
                        entry->name, desired, state == JOB_STATE_LAUNCHED ? "start" : "load");

        entry->action = PLAN_REPLACE;
        return file_copy(source, &entry->content);
}

static int decide(Plan *plan, PlanEntry *entry, const PlanOptions *options, Diag *diag) {
        const UnitFile *source;
        int r;

        if (entry->current.name)
                return options->replace ? decide_replace(plan, entry, options, diag)
                                        : decide_keep(plan, entry);

        r = find_source(plan, entry, options->replace, &source, diag);
        if (r < 0)
                return r;
        entry->action = PLAN_CREATE;
        return file_copy(source, &entry->content);
}

static int decide_all(Plan *plan, const PlanOptions *options, Diag *diag) {
        int r;

        for (int instances = 0; instances <= 1; instances++)
                for (size_t i = 0; i < plan->n_entries; i++) {
                        PlanEntry *entry = &plan->entries[i];

                        if (unit_name_is_instance(entry->name) != (bool)instances)
                                continue;
                        r = decide(plan, entry, options, diag);
                        if (r < 0)
                                return r;
                }
        return 0;
}

/* --- checking --- */

static int check_options(const UnitFile *file, Diag *diag) {
        _cleanup_(requirements_freep) Requirements *requirements = NULL;
        int r;

        /* Without the name, as the server does (contract section 4.6). */
        r = requirements_new(&requirements, file, NULL);
        return r < 0 ? r : requirements_check(requirements, file, diag);
}

static int note_spelling(Plan *plan, const PlanEntry *entry) {
        _cleanup_(strlist_done) StrList findings = { 0 };
        int r;

        r = unit_check_spelling(entry->content, &findings);
        for (size_t i = 0; r == 0 && i < findings.n_items; i++)
                r = add_note(&plan->spelling, "Unit %s: %s", entry->name, findings.items[i]);
        return r;
}

static int check(Plan *plan, PlanEntry *entry, Diag *diag) {
        _cleanup_(requirements_freep) Requirements *requirements = NULL;
        const UnitFile *file = entry->content ? entry->content : entry->current.options;
        int r;

        if (!file)
                return 0;

        if (entry->content) {
                r = check_options(entry->content, diag);
                if (r < 0)
                        return diag_wrap(diag, r, "%s", entry->name);
                r = note_spelling(plan, entry);
                if (r < 0)
                        return r;
        }

        r = requirements_new(&requirements, file, entry->name);
        if (r == 0)
                entry->is_global = requirements->global;
        return r;
}

int plan_make(Client *client, const StrList *words, const PlanOptions *options, Plan *ret_plan,
              Diag *diag) {
        int r;

        assert(client);
        assert(words->n_items > 0);

        r = gather_names(ret_plan, client, words, options, diag);
        if (r == 0)
                r = gather_entries(ret_plan);
        if (r == 0)
                r = gather_units(ret_plan, client, diag);
        for (size_t i = 0; r == 0 && i < ret_plan->n_entries; i++)
                r = gather_local(&ret_plan->entries[i], diag);
        if (r == 0)
                r = gather_templates(ret_plan, options, client, diag);
        if (r == 0)
                r = decide_all(ret_plan, options, diag);
        for (size_t i = 0; r == 0 && i < ret_plan->n_entries; i++)
                r = check(ret_plan, &ret_plan->entries[i], diag);
        return r < 0 ? r : plan_find_instances(ret_plan, client, diag);
}
