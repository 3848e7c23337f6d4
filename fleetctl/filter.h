/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which rows of a list a person wants to see: by name, state, machine and metadata. What is not
 * given restricts nothing. Pure. */

#include <stdbool.h>
#include <stddef.h>

#include "fleetctl/expand.h"
#include "fleetctl/options.h"
#include "lib/base/diag.h"
#include "lib/base/strlist.h"
#include "lib/model/entity.h"

/* What a row must have. Zeroed lets everything through. */
typedef struct Filter {
        UnitPattern *names; /* owned array: one of these, or any when there are none */
        size_t n_names;     /* how many */
        StrList machines;   /* beginnings of IDs: one of these */
        StrList states;     /* one of these */
        StrList desired;    /* one of these */
        Metadata metadata;  /* all of these */
} Filter;

/* Make the filter of unit lists from --state, --dstate and --machine and the words of the command
 * line: names of units, with braces and patterns. The caller calls filter_done(), also after an
 * error. Returns 0, -ENOMEM, or -EINVAL or -E2BIG with a message. */
int filter_init_units(Filter *filter, const Options *options, const StrList *words, Diag *diag);

/* Make the filter of list-machines from --metadata and the words: beginnings of machine IDs. The
 * rest as above. */
int filter_init_machines(Filter *filter, const Options *options, const StrList *words, Diag *diag);

/* Free everything; empty afterwards. */
void filter_done(Filter *filter);

/* Does the filter let this one through? States compare with the current state of a unit, and with
 * load, active and sub state of a UnitState. */
bool filter_keeps_unit(const Filter *filter, const Unit *unit);
bool filter_keeps_state(const Filter *filter, const UnitState *state);
bool filter_keeps_machine(const Filter *filter, const Machine *machine);
