/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Machines that are gone for good, and the rows of global units that they leave behind. Such a row
 * stays while its machine may come back, so that nothing is written for a machine that reboots.
 * After GONE_AFTER_US without the machine the row goes: where machines are made and thrown away,
 * nobody else would ever remove it. A machine that comes back after all gets its rows anew, and its
 * agent waits for them (agent/handover.c).
 *
 * Who has been away for how long is known to the leader only, and outlives the view, which is built
 * anew now and then. Another leader begins to count anew.
 */

#include "engine/cluster.h"
#include "lib/base/env.h"
#include "lib/base/hash-map.h"

/* Far longer than a reboot or a repair that somebody waits for. In 64 bits: an enum has 32. */
#define GONE_AFTER_US (UINT64_C(3600) * US_PER_S)

/* Who is away; zero it. */
typedef struct Gone {
        HashMap machines; /* of GoneMachine, by ID */
} Gone;

/* Look who is away, and want the rows of global units no more where the machine has been for too
 * long; units that fit nowhere else stay where they are. `now_us` is the leader's clock
 * (loop_now_us()). To be called while the view is complete. Without memory a machine counts from a
 * later look on. */
void gone_look(Gone *gone, Cluster *cluster, uint64_t now_us);

/* Forget who is away: this machine does not lead any more. */
void gone_done(Gone *gone);
