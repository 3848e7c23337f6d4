/* SPDX-License-Identifier: Apache-2.0 */

/* Readiness, status and watchdog.
 *
 * The watchdog shows that the loop turns. To feed it, an idle daemon must not wake up more often
 * than it has to: so it is fed before a wait of the loop as soon as three eighths of the interval
 * have passed, which with the usual figures (60 s, heartbeats every 5 s) is always on a wake-up
 * that happens anyway. The timer at one half only counts where nothing else wakes the loop.
 */

#include "fleetd/notify.h"

#include <stdio.h>
#include <systemd/sd-daemon.h>
#include <time.h>

static void feed(Notify *notify) {
        (void)sd_notify(false, "WATCHDOG=1");
        notify->fed_us = loop_now_us(notify->loop);
        timer_set_at(notify->loop, &notify->timer, notify->fed_us + notify->interval_us / 2);
}

static void on_prepare(LoopHook *hook) {
        Notify *notify = container_of(hook, Notify, hook);

        if (loop_now_us(notify->loop) - notify->fed_us >= notify->interval_us / 8 * 3)
                feed(notify);
}

static void on_timer(LoopTimer *timer) {
        feed(container_of(timer, Notify, timer));
}

void notify_start(Notify *notify, Loop *loop) {
        uint64_t interval_us;

        if (sd_watchdog_enabled(false, &interval_us) <= 0)
                return;

        *notify = (Notify){ .loop = loop,
                            .interval_us = interval_us,
                            .hook.prepare = on_prepare,
                            .timer.fn = on_timer };
        loop_hook_add(loop, &notify->hook);
        feed(notify);
}

void notify_stop(Notify *notify) {
        if (!notify->loop)
                return;

        loop_hook_remove(&notify->hook);
        timer_clear(&notify->timer);
        notify->loop = NULL;
}

void notify_reloading(void) {
        struct timespec now = { 0 };

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        (void)sd_notifyf(false, "RELOADING=1\nMONOTONIC_USEC=%llu",
                         (unsigned long long)now.tv_sec * US_PER_S +
                                 (unsigned long long)now.tv_nsec / 1000);
}

void notify_ready(void) {
        (void)sd_notify(false, "READY=1");
}

void notify_stopping(bool has_left) {
        (void)sd_notify(false, has_left
                                       ? "STOPPING=1\nSTATUS=Left the cluster; no unit is left here"
                                       : "STOPPING=1\nSTATUS=Ending; units keep running");
}

void notify_extend(uint64_t us) {
        (void)sd_notifyf(false, "EXTEND_TIMEOUT_USEC=%llu", (unsigned long long)us);
}

void notify_status(const char *text) {
        (void)sd_notifyf(false, "STATUS=%s", text);
}
