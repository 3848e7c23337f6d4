/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the daemon tells the service manager that started it (sd_notify(3)); does nothing when there
 * is none. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/loop/loop.h"

/* The watchdog's feeder; embed it, zero it before the first use. The members are private. */
typedef struct Notify {
        Loop *loop;           /* borrowed; NULL while off */
        LoopHook hook;        /* feeds along with whatever woke the loop */
        LoopTimer timer;      /* feeds when nothing did */
        uint64_t interval_us; /* WatchdogSec= */
        uint64_t fed_us;      /* when it was last fed */
} Notify;

/* Feed the watchdog from now on, if the service manager asks for it (sd_watchdog_enabled(3)). */
void notify_start(Notify *notify, Loop *loop);

/* Stop feeding. */
void notify_stop(Notify *notify);

/* Say that the daemon reads its configuration again, up to notify_ready(); that it serves; that it
 * ends, and whether its units are gone; what it is doing, in words. */
void notify_reloading(void);
void notify_ready(void);
void notify_stopping(bool has_left);
void notify_status(const char *text);

/* Ask to be given so much more time to end, counted from now. */
void notify_extend(uint64_t us);
