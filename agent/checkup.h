/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The machine's part in a checkup of the cluster: whenever checkup/ask is written, the daemon says
 * how it is in a record of its own (docs/records.md). Nothing is written while nobody asks. A
 * daemon that is kept out of the cluster answers, too, if it holds a lease.
 */

#include <stdint.h>

#include "lib/base/macro.h"
#include "lib/model/record.h"
#include "lib/registry/registry.h"

typedef struct Checkup Checkup;

/* What it asks of the daemon when an answer is due. */
typedef struct CheckupSource {
        /* Fill in what is known of this daemon, all but `asked`, `wall_ms` and `store_version`;
         * strings are borrowed until the next turn of the loop. Returns the lease to answer on; 0 =
         * there is none, so there is no answer. */
        int64_t (*fill)(ReportRecord *ret_report, void *userdata);
        void *userdata;
} CheckupSource;

/* Follow checkup/ask and answer from now on. `registry` is borrowed; `machine` and `source` are
 * copied. A checkup that was asked for before is not answered. Returns 0 or -ENOMEM. */
int checkup_new(Checkup **ret_checkup, Registry *registry, const char *machine,
                const CheckupSource *source);

/* Answer no more. */
void checkup_stop(Checkup *checkup);

/* Free it, stopped, after the store has closed. Takes NULL; returns NULL. */
Checkup *checkup_free(Checkup *checkup);
DEFINE_CLEANUP(Checkup, checkup_free)
