/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A fake org.freedesktop.systemd1 in the loop of the test: enough of the manager, with systemd's
 * habits, to test the host without one. It writes down every call.
 *
 * What a unit does depends on its file, which is read when the unit is loaded: it contains Fail=yes
 * (the start job fails), Oneshot=yes (the job ends well, and the unit is inactive), Hang=yes (the
 * start job never ends), Bad=yes (LoadState bad-setting), RefuseLink=yes and RefuseEnable=yes
 * (those calls fail for all their units). A unit that is not running is forgotten after each call,
 * unless it is pinned, and a file that changed is not looked at again until a reload: that is what
 * a real one does.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/loop/loop.h"

typedef struct FakeSystemd FakeSystemd;

/* Make it, without a way to reach it. Aborts the test on failure, as all of these do. */
FakeSystemd *fake_systemd_new(Loop *loop);

/* Takes NULL; returns NULL. */
FakeSystemd *fake_systemd_free(FakeSystemd *systemd);

/* Serve one end of a new socket pair; returns the other end, which the caller owns. */
int fake_systemd_serve_pair(FakeSystemd *systemd);

/* Listen on `<runtime_directory>/systemd/private`. */
void fake_systemd_listen(FakeSystemd *systemd, const char *runtime_directory);

/* Stop listening and cut the connection. What is loaded and runs stays. */
void fake_systemd_cut(FakeSystemd *systemd);

/* Everything that was called so far, a line per call: "StartUnit a.service". Borrowed until the
 * next call. */
const char *fake_systemd_calls(const FakeSystemd *systemd);

/* How many lines of that start with this text. */
unsigned fake_systemd_count(const FakeSystemd *systemd, const char *start);

/* Forget what was called. */
void fake_systemd_forget_calls(FakeSystemd *systemd);

/* Do not answer calls of this member until fake_systemd_release(); NULL to answer them again. */
void fake_systemd_hold(FakeSystemd *systemd, const char *member);

/* Carry out and answer what was held. */
void fake_systemd_release(FakeSystemd *systemd);

/* Answer what was held as sd-bus does when the time for an answer is over. Nothing is carried out. */
void fake_systemd_give_up(FakeSystemd *systemd);

/* The type of the job on the unit of whoever calls (static); "" for none, NULL for no unit. */
void fake_systemd_set_own_job(FakeSystemd *systemd, const char *type);

/* Tell how a job ended before answering the call that asked for it. */
void fake_systemd_set_jobs_first(FakeSystemd *systemd, bool is_first);

/* In what words a file is refused that says RefuseLink=yes; borrowed. */
void fake_systemd_set_refusal(FakeSystemd *systemd, const char *text);

/* Keep jobs from ending. */
void fake_systemd_hold_jobs(FakeSystemd *systemd, bool is_held);

/* End all jobs in another way than "done". */
void fake_systemd_end_jobs(FakeSystemd *systemd, const char *result);

/* Something refers to the unit: it is never forgotten. Makes it known, as "not-found" when it has
 * no file. */
void fake_systemd_pin(FakeSystemd *systemd, const char *name);

/* The content that is loaded for the unit, or NULL. Borrowed. */
const char *fake_systemd_loaded_text(const FakeSystemd *systemd, const char *name);

/* Its ActiveState; "" when it is not known. */
const char *fake_systemd_active(const FakeSystemd *systemd, const char *name);

/* Is its file linked? */
bool fake_systemd_is_linked(const FakeSystemd *systemd, const char *name);

/* Is it enabled? */
bool fake_systemd_is_enabled(const FakeSystemd *systemd, const char *name);

/* How often a start of it came to its end: a start of a running one does not count. */
unsigned fake_systemd_unit_starts(const FakeSystemd *systemd, const char *name);

/* Its process dies. */
void fake_systemd_unit_dies(FakeSystemd *systemd, const char *name);

/* Tell of a change of a unit that is none of fleet's. */
void fake_systemd_tell_foreign(FakeSystemd *systemd);
