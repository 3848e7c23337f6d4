/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How soon the daemon gets a processor that others keep busy. */

/* Ask the scheduler for the shortest slice of time: who asks for less at a time is served sooner,
 * and gets no larger share. For a daemon whose disk others wait for: it sleeps several times in
 * each commit, and would wait out somebody else's slice after each. Linux knows this from 6.12 on;
 * where it is not known, not allowed, or the process has another policy than SCHED_OTHER, nothing
 * changes. */
void slice_shorten(void);
