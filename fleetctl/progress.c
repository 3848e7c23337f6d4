/* SPDX-License-Identifier: Apache-2.0 */

/* Progress, redrawn in place with a carriage return and "erase in line" (ECMA-48, EL). It appears
 * only after a moment, so that what takes no time does not flicker.
 */

#include "fleetctl/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "lib/base/env.h"

enum {
        PROGRESS_DELAY_MS = 300, /* shorter waits need no explanation */
        PROGRESS_SAY_S = 10,     /* in a log, waits longer than this do */
};

Progress progress_begin(const char *done, size_t n_total) {
        return (Progress){
                .done = done,
                .n_total = n_total,
                .begin_us = env_now_us(env_system()),
                .is_terminal = isatty(STDERR_FILENO),
        };
}

/* A log keeps what is written, so there it is one line, and only of what takes long. */
static void say_once(Progress *progress, size_t n_done, uint64_t waited_us) {
        if (progress->has_said || waited_us < PROGRESS_SAY_S * (uint64_t)US_PER_S)
                return;
        (void)fprintf(stderr, "Waiting: %zu/%zu unit%s %s\n", n_done, progress->n_total,
                      progress->n_total == 1 ? "" : "s", progress->done);
        progress->has_said = true;
}

void progress_show(Progress *progress, size_t n_done) {
        uint64_t waited_us = env_now_us(env_system()) - progress->begin_us;

        if (!progress->is_terminal) {
                say_once(progress, n_done, waited_us);
                return;
        }
        if (waited_us < PROGRESS_DELAY_MS * (uint64_t)US_PER_MS)
                return;
        if (progress->is_visible && progress->n_shown == n_done)
                return;

        (void)fprintf(stderr, "\r\033[K%zu/%zu unit%s %s", n_done, progress->n_total,
                      progress->n_total == 1 ? "" : "s", progress->done);
        (void)fflush(stderr);
        progress->n_shown = n_done;
        progress->is_visible = true;
}

void progress_clear(Progress *progress) {
        if (!progress->is_visible)
                return;

        (void)fputs("\r\033[K", stderr);
        (void)fflush(stderr);
        progress->is_visible = false;
}
