/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One machine's agent and presence over a service manager in memory, with a schedule that the test
 * writes. */

#include "tests/sim/cluster.h"

enum { STEP_MS = 1000 }; /* enough for any few steps and a report */

/* A machine that is a member. */
void set_up(Sim *sim);

/* Write a row of its schedule, and let it act. */
void set_row(Sim *sim, const char *unit, const char *text, JobState desired, uint64_t generation);

/* What its service manager says. */
bool is_active(const Sim *sim, const char *unit);
unsigned n_starts(const Sim *sim, const char *unit);

/* The state record of the unit must contain this. */
void expect_state(Sim *sim, const char *unit, const char *text);
