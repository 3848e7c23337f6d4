/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a unit asks of its machine: the [X-Fleet] section (contract section 5.2). */

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/diag.h"
#include "lib/base/macro.h"
#include "lib/base/strlist.h"
#include "lib/unit/unit-file.h"

/* One "key=value" of MachineMetadata. Strings owned by the Requirements. */
typedef struct MetadataRequirement {
        char *key;   /* not empty */
        char *value; /* not empty; one of several for the same key suffices */
} MetadataRequirement;

typedef struct Requirements Requirements;

/* The requirements of one unit, specifiers expanded. Never NULL strings inside lists. */
struct Requirements {
        char *machine_id; /* MachineID, or NULL; full ID or its first 8 characters (contract section
                             6) */
        StrList machine_of; /* units that must be on the same machine, all of them */
        StrList conflicts;  /* globs of units that may not be on the same machine */
        StrList replaces;   /* globs of units that this one takes the place of */
        MetadataRequirement
                *metadata; /* owned array: same key = any of its values, different keys = all */
        size_t n_metadata; /* how many */
        bool global;       /* runs on every machine that fits */
        bool exclusive;    /* never runs twice, whatever fails */
};

/* Read the requirements of `file`. With `unit_name`, the specifiers %n %N %p %i are expanded for
 * it; NULL leaves them (as validation without a name does, contract section 4.6). Returns 0 or
 * -ENOMEM: unknown keys and malformed values are ignored here as the contract says;
 * requirements_check() and requirements_unknown_keys() tell of them. */
int requirements_new(Requirements **ret_requirements, const UnitFile *file, const char *unit_name);

/* Takes NULL; returns NULL. */
Requirements *requirements_free(Requirements *requirements);
DEFINE_CLEANUP(Requirements, requirements_free)

/* Check the combination of options by the rules of contract section 4.6 ("Option rules") from the
 * second on, first failure first; before them, that no key has more than 256 values and no unit or
 * glob more than 256 bytes; after them, what Exclusive asks of the rest of the file (both ours).
 * `file` is what they were read from. Returns 0, or -EINVAL with the rule's message. */
int requirements_check(const Requirements *requirements, const UnitFile *file, Diag *diag);

/* Append to `ret_keys` the name of each option of [X-Fleet] that means nothing to fleet, for
 * warnings. Returns 0 or -ENOMEM. */
int requirements_unknown_keys(const UnitFile *file, StrList *ret_keys);

/* The options of [X-Fleet] that fleet knows, for suggestions: the one with this number, from 0, or
 * NULL after the last. Deprecated spellings are left out. */
const char *requirements_key(size_t number);

/* Does a unit called `a` with requirements `ra` conflict with unit `b` with `rb`? Symmetric; a unit
 * never conflicts with itself (contract section 6). */
bool requirements_conflict(const char *a, const Requirements *ra, const char *b,
                           const Requirements *rb);

/* Does a unit called `a` with requirements `ra` have a Replaces that matches unit `b`? Never
 * itself.
 */
bool requirements_replace(const char *a, const Requirements *ra, const char *b);

/* Does MachineID allow this machine? True when there is no MachineID. */
bool requirements_allow_machine(const Requirements *requirements, const char *machine_id);
