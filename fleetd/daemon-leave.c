/* SPDX-License-Identifier: Apache-2.0 */

/* The end: a signal to end comes with a restart of the service, with its stop, or with neither.
 *
 *   STAYS --signal--> ASKS --restart, no job, no answer--> end: no unit is touched
 *                      |
 *                      | stop
 *                      v
 *                 JOINS --no store--> end: no unit is touched
 *                      | the store is there, and this machine a member
 *                      v
 *                 HANDS_OVER    The machine's record says that it leaves. Each unit ends here when
 *                      |        its successor runs elsewhere (agent/leave.c).
 *                      | nothing is left that can be handed over; leave_timeout; another signal
 *                      v
 *                 STOPS         The other units are stopped, to their end.
 *                      | nothing is left
 *                      v
 *                     end, and the lease with it
 *
 * A machine that loses the store on its way out cannot know what runs elsewhere: it ends as for a
 * restart, and what is still here runs on.
 *
 * All that while the service manager is told to wait a little longer, so TimeoutStopSec= is only
 * for a daemon that hangs.
 */

#include <string.h>
#include <syslog.h>

#include "fleetd/daemon-private.h"
#include "lib/base/log.h"

enum {
        LEAVE_BEAT_US = US_PER_S,
        LEAVE_EXTEND_US = 5 * US_PER_S, /* asked for with every beat, from then on */
        LEAVE_STORE_US = 5 * US_PER_S,  /* without the store, or membership */
        LEAVE_STOP_US = 120 * US_PER_S, /* for units to stop; the default of a unit is 90 s */
};

static bool is_member(const Daemon *daemon) {
        return store_is_connected(daemon->store) && daemon->presence &&
               presence_lease(daemon->presence) != 0;
}

static void end_as_it_is(Daemon *daemon) {
        timer_clear(&daemon->leave_beat);
        daemon_close(daemon, EXIT_SUCCESS);
}

static void on_left(Agent *agent, void *userdata) {
        Daemon *daemon = userdata;

        (void)agent;
        log_line(LOG_NOTICE, "This machine has left the cluster; no unit is left here");
        daemon->leave = LEAVE_DONE;
        end_as_it_is(daemon);
}

static void leave_stop(Daemon *daemon) {
        daemon->leave = LEAVE_STOPS;
        daemon->leave_until_us = loop_now_us(daemon->loop) + LEAVE_STOP_US;
        agent_leave_now(daemon->agent);
}

/* Becomes known as one that leaves, once this machine is known at all. */
static void leave_try(Daemon *daemon) {
        int r;

        if (!is_member(daemon))
                return;

        daemon->leave = LEAVE_HANDS_OVER;
        daemon->leave_until_us = loop_now_us(daemon->loop) + daemon->config->leave_timeout_us;
        r = daemon_update_member(daemon);
        if (r < 0) {
                log_line(LOG_ERR, "Cannot leave the cluster: %s; units keep running", strerror(-r));
                end_as_it_is(daemon);
                return;
        }

        log_line(LOG_NOTICE, "Leaving the cluster: units move to other machines");
        agent_leave(daemon->agent, on_left, daemon);
}

/* Looks whether a stage has taken too long. */
static void leave_look(Daemon *daemon) {
        uint64_t now_us = loop_now_us(daemon->loop);

        if (daemon->leave == LEAVE_JOINS)
                leave_try(daemon);
        if (is_member(daemon))
                daemon->member_us = now_us;

        if (now_us - daemon->member_us >= LEAVE_STORE_US) {
                log_line(
                        LOG_WARNING,
                        "Cannot leave the cluster without %s; units keep running, and others start "
                        "them when the lease has ended",
                        daemon->store_name);
                end_as_it_is(daemon);
        } else if (daemon->leave == LEAVE_HANDS_OVER && now_us >= daemon->leave_until_us) {
                log_line(LOG_WARNING, "Units still wait for their successors after leave_timeout");
                leave_stop(daemon);
        } else if (daemon->leave == LEAVE_STOPS && now_us >= daemon->leave_until_us) {
                log_line(LOG_WARNING, "Units still stop after %d s; ending without them",
                         (int)(LEAVE_STOP_US / US_PER_S));
                end_as_it_is(daemon);
        }
}

static void on_beat(LoopTimer *timer) {
        Daemon *daemon = container_of(timer, Daemon, leave_beat);

        timer_set_in(daemon->loop, &daemon->leave_beat, LEAVE_BEAT_US);
        notify_extend(LEAVE_EXTEND_US);
        leave_look(daemon);
}

static void on_end_told(HostEnd end, void *userdata) {
        Daemon *daemon = userdata;

        if (daemon->is_closing)
                return;
        if (end != HOST_END_STOP) {
                log_line(LOG_INFO, "Ending as told; units keep running");
                end_as_it_is(daemon);
                return;
        }

        daemon->leave = LEAVE_JOINS;
        daemon->member_us = loop_now_us(daemon->loop);
        leave_look(daemon);
}

void daemon_on_end(void *userdata) {
        Daemon *daemon = userdata;

        switch (daemon->leave) {
        case LEAVE_NOT:
                daemon->leave = LEAVE_ASKS;
                daemon->leave_beat.fn = on_beat;
                timer_set_in(daemon->loop, &daemon->leave_beat, LEAVE_BEAT_US);
                daemon->member_us = loop_now_us(daemon->loop);
                notify_extend(LEAVE_EXTEND_US);
                host_ask_end(daemon->host, on_end_told, daemon);
                break;
        case LEAVE_HANDS_OVER:
                log_line(LOG_NOTICE, "Told to end again: waiting for no successor any more");
                leave_stop(daemon);
                break;
        case LEAVE_ASKS:
        case LEAVE_DONE:
                break;
        default:
                log_line(LOG_NOTICE, "Told to end again: ending at once");
                end_as_it_is(daemon);
        }
}
