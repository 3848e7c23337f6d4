/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The line "123/1000 units launched" at the bottom of a terminal. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A progress line. Made by progress_begin(). */
typedef struct Progress {
        const char *done; /* borrowed; what units are when they are done */
        size_t n_total;
        size_t n_shown;    /* the count on the screen */
        uint64_t begin_us; /* when it began (env_now_us) */
        bool is_terminal;  /* else one line is written, when it lasts */
        bool has_said;     /* that line */
        bool is_visible;   /* a line is on the screen */
} Progress;

/* Begin; shows nothing yet. */
Progress progress_begin(const char *done, size_t n_total);

/* Show the line, unless it is too early or unchanged. Where stderr is no terminal it is written once,
 * after some seconds. */
void progress_show(Progress *progress, size_t n_done);

/* Remove the line from the screen: before anything else is printed, and at the end. */
void progress_clear(Progress *progress);
