/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The state of a daemon as one JSON object, for who looks for a fault (contract section 8,
 * SIGUSR1):
 *
 *     {"Agent":{"Cache":{"TargetStates":{"web.service":"launched"}}},
 *      "Fleetd":{...},
 *      "UnitStateGenerator":{"Subscribed":["web.service"]},
 *      "UnitStatePublisher":{"Cache":{"web.service":{...}},"ToPublish":{"other.service":null}}}
 *
 * A state is {"activeState","loadState","machineState":{"ID"},"subState","unitHash"}. `Cache` has
 * what the store has, null where that is older than what is known; `ToPublish` what is to replace
 * it, null where the record is to go. `Fleetd` is ours.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/model/record.h"

/* A unit of the agent; all strings borrowed. */
typedef struct DumpUnit {
        const char *name;
        const char *target; /* what its row of the schedule wants, or NULL where it has none */
        StateRecord state;  /* while has_state */
        bool has_state;
        bool is_published;  /* the store has a state of it: this one, unless is_to_publish */
        bool is_to_publish; /* the store is to be told this one, or that there is none any more */
        bool is_subscribed; /* the service manager is listened to for it */
} DumpUnit;

/* A member of "Fleetd"; a text where there is one, else a number. */
typedef struct DumpValue {
        const char *key;
        const char *text; /* or NULL */
        uint64_t number;
} DumpValue;

/* All of it; borrowed. */
typedef struct Dump {
        const char *machine; /* machine ID */
        const DumpUnit *units;
        size_t n_units;
        const DumpValue *values;
        size_t n_values;
} Dump;

/* Append it as one line without its end. Errors as buf_append(); `out` is then as it was. */
int dump_encode(const Dump *dump, Buf *out);
