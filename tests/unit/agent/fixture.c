/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/unit/agent/fixture.h"

#include <check.h>
#include <string.h>

void set_up(Sim *sim) {
        sim_init(sim, 1, 1, true);
        rig_run_ms(&sim->rig, STEP_MS);
}

void set_row(Sim *sim, const char *unit, const char *text, JobState desired, uint64_t generation) {
        sim_set_row(sim, 0, unit, text, desired, generation);
        rig_run_ms(&sim->rig, STEP_MS);
}

bool is_active(const Sim *sim, const char *unit) {
        return fake_machine_unit_is_active(sim->machines[0].fake, unit);
}

unsigned n_starts(const Sim *sim, const char *unit) {
        return fake_machine_unit_starts(sim->machines[0].fake, unit);
}

void expect_state(Sim *sim, const char *unit, const char *text) {
        ck_assert_msg(strstr(sim_state(sim, 0, unit), text), "%s: no %s in %s", unit, text,
                      sim_state(sim, 0, unit));
}
