/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Instances of a template that is replaced: whether they are to follow it. */

#include <stdbool.h>

#include "fleetctl/plan.h"

/* Ask at the terminal whether the plan's instances are to be replaced, too. False where nobody can
 * be asked, there are none, or the answer is not yes. */
bool offer_instances(const Plan *plan);

/* Say on stderr which instances keep the old content, and how to replace them. */
void offer_tell_kept(const Plan *plan);
