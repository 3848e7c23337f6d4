/* SPDX-License-Identifier: Apache-2.0 */

/* Progress, redrawn in place with a carriage return and "erase in line" (ECMA-48, EL). It appears
 * only after a moment, so that what takes no time does not flicker.
 */

#include "fleetctl/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "lib/base/env.h"

enum { PROGRESS_DELAY_MS = 300 }; /* shorter waits need no explanation */

Progress progress_begin(const char *done, size_t n_total) {
        return (Progress){
                .done = done,
                .n_total = n_total,
                .begin_us = env_now_us(env_system()),
                .is_terminal = isatty(STDERR_FILENO),
        };
}

void progress_show(Progress *progress, size_t n_done) {
        uint64_t waited_us = env_now_us(env_system()) - progress->begin_us;

        if (!progress->is_terminal || waited_us < PROGRESS_DELAY_MS * (uint64_t)US_PER_MS)
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
