/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A text that leaves through a descriptor which somebody else made and may not read: never blocks,
 * and keeps one text at a time. */

#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/loop/loop.h"

/* The text on its way; embed it, zero it before the first use. The members are private. */
typedef struct Output {
        Loop *loop; /* borrowed; NULL while nothing is on its way */
        Buf text;
        size_t n_written;
        LoopIo io;
        LoopTimer patience;
        bool is_socket;
        bool is_ours; /* io.fd is closed at the end */
} Output;

enum {
        /* Where the reader takes nothing for so long, the rest is dropped. */
        OUTPUT_PATIENCE_US = 10000 * US_PER_MS,
};

/* Send the text, which is taken over, through `fd`: at once as far as that takes it, the rest from
 * the loop. Returns 0; -EBUSY while another is on its way; or what opening or writing gave, and
 * then the text is dropped. `fd` stays open and as it is: its other users may want it to block. */
int output_write(Output *output, Loop *loop, int fd, Buf *text);

/* Is a text on its way? */
bool output_is_busy(const Output *output);

/* Drop what is on its way. */
void output_done(Output *output);
