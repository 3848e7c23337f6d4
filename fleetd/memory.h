/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What keeps the daemon small: it runs on every machine, idle for hours. */

/* Before anything is allocated: memory that is freed goes back to the kernel early. */
void memory_save(void);

/* At rest after work: give back what only that needed. Costs some page faults when it is needed
 * again after all. */
void memory_release(void);
