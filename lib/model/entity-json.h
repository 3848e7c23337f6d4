/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The entities inside larger JSON values. Private to lib/model.
 *
 * x_write() writes one as an object into a value under construction. x_read() fills a zeroed one
 * from what must be an object, and returns what json-in.h says; on error it may be half filled, and
 * the caller frees it with x_done() all the same.
 */

#include <jansson.h>

#include "lib/base/diag.h"
#include "lib/model/entity.h"
#include "lib/model/json-out.h"

/* Machine, and the member "machines" of an object. Reading returns as said above. */
void machine_list_write(const Machine *machines, size_t n_machines, JsonOut *out);
int machine_list_read(const json_t *object, Machine **ret_machines, size_t *io_n, Diag *diag);

/* Unit, as said above. */
void unit_write(const Unit *unit, JsonOut *out);
int unit_read(const json_t *object, Unit *unit, Diag *diag);

/* UnitState, as said above. */
void unit_state_write(const UnitState *state, JsonOut *out);
int unit_state_read(const json_t *object, UnitState *state, Diag *diag);
