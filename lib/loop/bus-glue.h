/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A D-Bus connection (sd-bus(3)) on the loop. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/loop/loop.h"

typedef struct sd_bus sd_bus;
typedef struct BusGlue BusGlue;

/* The glue; embed it and zero it. */
struct BusGlue {
        Loop *loop;      /* borrowed; NULL while it is detached */
        sd_bus *bus;     /* borrowed while attached */
        LoopHook hook;   /* re-reads what the connection waits for */
        LoopIo io;       /* its descriptor */
        LoopTimer timer; /* its next timeout */
        /* The connection has ended, `error` is a negative errno that says how. The glue is detached
         * already. */
        void (*lost)(BusGlue *glue, int error);
};

/* Let the loop drive a connection that was started (sd_bus_start(3)). `lost` runs at most once,
 * from the loop and not from within a callback of sd-bus, so that the connection may be freed
 * there. The connection stays the caller's, and must outlive the attachment. Returns 0 or a
 * negative errno, on which nothing is attached. */
int bus_glue_attach(BusGlue *glue, Loop *loop, sd_bus *bus, void (*lost)(BusGlue *glue, int error));

/* Stop driving it; nothing is called afterwards. Does nothing when it is detached. May be called
 * from the callbacks of the connection. */
void bus_glue_detach(BusGlue *glue);
