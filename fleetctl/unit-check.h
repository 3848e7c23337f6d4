/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What in a unit file will not do what its author meant, as far as fleet can tell. Pure. */

#include "lib/base/strlist.h"
#include "lib/unit/unit-file.h"

enum { UNIT_CHECK_MAX_FINDINGS = 100 }; /* for one file; a person does not read more */

/* Append to `ret_findings` what fleet accepts and ignores: options of [X-Fleet] that it does not
 * know (the message of contract section 2.6 after "Unit NAME: "), and sections whose names are
 * nearly those of known ones; each with what may have been meant. Returns 0 or -ENOMEM. */
int unit_check_spelling(const UnitFile *file, StrList *ret_findings);

/* Append that, and all else that is wrong with a unit of this name: what the server would refuse,
 * and values of [X-Fleet] that can never hold. Returns 0 or -ENOMEM. */
int unit_check(const char *name, const UnitFile *file, StrList *ret_findings);
