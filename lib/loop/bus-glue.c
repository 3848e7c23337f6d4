/* SPDX-License-Identifier: Apache-2.0 */

/* sd-bus on the loop.
 *
 * sd_bus_get_fd(3) asks a foreign loop to re-read the descriptor, the events and the timeout before
 * every sleep: queuing a call, a reply that is in the queue already, or the deadline of a call
 * change the answer without any descriptor becoming ready. So a hook of the loop does exactly that.
 * Who watches the descriptor only never sees a call time out.
 *
 * sd-bus counts timeouts on CLOCK_MONOTONIC, the loop on the clock of its environment: a timeout is
 * carried over as a distance from now.
 *
 * Callbacks of the connection run from sd_bus_process(). They may detach the glue and free nothing
 * else of it; a connection that ends is reported after sd_bus_process() has returned, and the
 * replies that sd-bus makes up for the calls of a dead connection are left to whoever frees it.
 */

#include "lib/loop/bus-glue.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <systemd/sd-bus.h>
#include <time.h>

/* So that a flood of signals starves nobody; the rest follows in the next turn. */
enum { BUS_GLUE_MESSAGES_PER_TURN = 256 };

static uint64_t monotonic_now_us(void) {
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * US_PER_S + (uint64_t)now.tv_nsec / 1000;
}

static void bus_glue_end(BusGlue *glue, int error) {
        bus_glue_detach(glue);
        glue->lost(glue, error);
}

static void bus_glue_process(BusGlue *glue) {
        for (unsigned i = 0; i < BUS_GLUE_MESSAGES_PER_TURN; i++) {
                sd_bus *bus = glue->bus;
                int r = sd_bus_process(bus, NULL);

                if (glue->bus != bus)
                        return;
                if (r < 0 || sd_bus_is_open(bus) <= 0) {
                        bus_glue_end(glue, r < 0 ? r : -ECONNRESET);
                        return;
                }
                if (r == 0)
                        return;
        }
}

static void bus_glue_on_io(LoopIo *io, unsigned events) {
        (void)events;
        bus_glue_process(container_of(io, BusGlue, io));
}

static void bus_glue_on_timer(LoopTimer *timer) {
        bus_glue_process(container_of(timer, BusGlue, timer));
}

static int bus_glue_rearm_io(BusGlue *glue) {
        int fd = sd_bus_get_fd(glue->bus), poll_events = sd_bus_get_events(glue->bus);
        unsigned events;

        if (fd < 0)
                return fd;
        if (poll_events < 0)
                return poll_events;

        events = (poll_events & POLLIN ? LOOP_READ : 0) | (poll_events & POLLOUT ? LOOP_WRITE : 0);
        return loop_io_watch(glue->loop, &glue->io, fd, events);
}

static int bus_glue_rearm_timer(BusGlue *glue) {
        uint64_t deadline_us = UINT64_MAX, monotonic_us;
        int r = sd_bus_get_timeout(glue->bus, &deadline_us);

        if (r < 0)
                return r;
        if (r == 0 || deadline_us == UINT64_MAX) {
                timer_clear(&glue->timer);
                return 0;
        }

        monotonic_us = monotonic_now_us();
        timer_set_at(glue->loop, &glue->timer,
                     env_now_us(loop_env(glue->loop)) +
                             (deadline_us > monotonic_us ? deadline_us - monotonic_us : 0));
        return 0;
}

static void bus_glue_prepare(LoopHook *hook) {
        BusGlue *glue = container_of(hook, BusGlue, hook);
        int r = bus_glue_rearm_io(glue);

        if (r >= 0)
                r = bus_glue_rearm_timer(glue);
        if (r < 0)
                bus_glue_end(glue, r);
}

int bus_glue_attach(BusGlue *glue, Loop *loop, sd_bus *bus,
                    void (*lost)(BusGlue *glue, int error)) {
        int r;

        assert(!glue->loop);
        assert(bus && lost);

        *glue = (BusGlue){
                .loop = loop,
                .bus = bus,
                .hook.prepare = bus_glue_prepare,
                .io = { .fn = bus_glue_on_io, .fd = -1 },
                .timer.fn = bus_glue_on_timer,
                .lost = lost,
        };

        r = bus_glue_rearm_io(glue);
        if (r < 0) {
                glue->loop = NULL;
                return r;
        }
        loop_hook_add_last(loop, &glue->hook);
        return 0;
}

void bus_glue_detach(BusGlue *glue) {
        if (!glue->loop)
                return;

        loop_hook_remove(&glue->hook);
        loop_io_stop(&glue->io);
        timer_clear(&glue->timer);
        glue->loop = NULL;
        glue->bus = NULL;
}
