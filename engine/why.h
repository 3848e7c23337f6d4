/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Why a unit is on no machine, for people. */

#include "engine/candidates.h"
#include "lib/base/buf.h"

enum { WHY_BYTES_MAX = 1024 }; /* longest reason */

/* Append the reason: up to eight machines one by one, those that come closest first, then how many
 * more there are and what they lack. It follows from what is there and wanted now, so the same
 * situation gives the same text. `lost` is the ID of a machine that is not there and keeps the
 * unit's row, or NULL. `out` is empty and holds WHY_BYTES_MAX. Returns 0 or -ENOMEM. */
int why_write(Candidates *candidates, const ClusterUnit *unit, const ClusterMachine *lost,
              Buf *out);
