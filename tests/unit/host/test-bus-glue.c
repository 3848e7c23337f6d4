/* SPDX-License-Identifier: Apache-2.0 */

/* sd-bus on the loop: calls in both directions, timeouts, and a peer that goes away. */

#include "lib/loop/bus-glue.h"

#include <errno.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "tests/unit/fault.h"

enum { LOOK_US = 20 * US_PER_MS, PATIENCE_US = 10 * US_PER_S, N_CALLS = 1000 };

/* Two ends of a connection. */
typedef struct Pair {
        Loop *loop;
        sd_bus *client, *server;
        BusGlue client_glue, server_glue;
        bool answers;     /* the server does */
        unsigned n_calls; /* that the server got */
        unsigned n_replies, n_errors;
        unsigned n_lost; /* of the client */
        int error;       /* of its loss */
        bool detaches_on_reply;
} Pair;

static int on_call(sd_bus_message *message, void *userdata, sd_bus_error *ret_error) {
        Pair *pair = userdata;

        (void)ret_error;
        if (!sd_bus_message_is_method_call(message, NULL, NULL))
                return 0;
        pair->n_calls++;
        return pair->answers ? sd_bus_reply_method_return(message, "") : 1;
}

static int on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        Pair *pair = userdata;

        (void)ret_error;
        if (sd_bus_message_is_method_error(reply, NULL))
                pair->n_errors++;
        else
                pair->n_replies++;
        if (pair->detaches_on_reply) {
                bus_glue_detach(&pair->client_glue);
                pair->client = sd_bus_close_unref(pair->client);
        }
        return 0;
}

static void on_client_lost(BusGlue *glue, int error) {
        Pair *pair = container_of(glue, Pair, client_glue);

        ck_assert_ptr_null(glue->loop);
        pair->n_lost++;
        pair->error = error;
        pair->client = sd_bus_close_unref(pair->client);
}

static void on_server_lost(BusGlue *glue, int error) {
        Pair *pair = container_of(glue, Pair, server_glue);

        (void)error;
        pair->server = sd_bus_close_unref(pair->server);
}

static void pair_open(Pair *pair) {
        static const sd_id128_t id = { .bytes = { 1 } };
        int fds[2];

        *pair = (Pair){ .answers = true };
        ck_assert_int_eq(loop_new(&pair->loop, env_system()), 0);
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
                         0);
        ck_assert_int_ge(sd_bus_new(&pair->client), 0);
        ck_assert_int_ge(sd_bus_set_fd(pair->client, fds[0], fds[0]), 0);
        ck_assert_int_ge(sd_bus_start(pair->client), 0);
        ck_assert_int_ge(sd_bus_new(&pair->server), 0);
        ck_assert_int_ge(sd_bus_set_fd(pair->server, fds[1], fds[1]), 0);
        ck_assert_int_ge(sd_bus_set_server(pair->server, true, id), 0);
        ck_assert_int_ge(sd_bus_add_filter(pair->server, NULL, on_call, pair), 0);
        ck_assert_int_ge(sd_bus_start(pair->server), 0);
        ck_assert_int_eq(
                bus_glue_attach(&pair->client_glue, pair->loop, pair->client, on_client_lost), 0);
        ck_assert_int_eq(
                bus_glue_attach(&pair->server_glue, pair->loop, pair->server, on_server_lost), 0);
}

static void pair_close(Pair *pair) {
        bus_glue_detach(&pair->client_glue);
        bus_glue_detach(&pair->server_glue);
        (void)sd_bus_close_unref(pair->client);
        (void)sd_bus_close_unref(pair->server);
        (void)loop_free(pair->loop);
}

static void pair_call(Pair *pair, uint64_t timeout_us) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;

        ck_assert_int_ge(
                sd_bus_message_new_method_call(pair->client, &call, "a.b", "/a", "a.b", "C"), 0);
        ck_assert_int_ge(sd_bus_call_async(pair->client, NULL, call, on_reply, pair, timeout_us),
                         0);
}

/* Turns the loop until the number is reached. */
static void pair_until(Pair *pair, const unsigned *number, unsigned wanted) {
        uint64_t limit_us = env_now_us(env_system()) + PATIENCE_US;

        while (*number < wanted) {
                ck_assert_uint_lt(env_now_us(env_system()), limit_us);
                ck_assert_int_eq(loop_turn(pair->loop, LOOK_US), 0);
        }
}

/* Calls that are queued before the connection is even authenticated, more than one turn handles,
 * are all answered. */
START_TEST(test_calls_are_answered) {
        Pair pair;

        pair_open(&pair);
        for (unsigned i = 0; i < N_CALLS; i++)
                pair_call(&pair, UINT64_MAX);
        ck_assert_uint_eq(pair.n_replies, 0);
        pair_until(&pair, &pair.n_replies, N_CALLS);
        ck_assert_uint_eq(pair.n_errors, 0);
        pair_close(&pair);
}
END_TEST

/* A call that is never answered times out, although no descriptor becomes ready for it; not before
 * its time. */
START_TEST(test_timeout_fires) {
        uint64_t begin_us;
        Pair pair;

        pair_open(&pair);
        pair_call(&pair, UINT64_MAX);
        pair_until(&pair, &pair.n_replies, 1);
        pair.answers = false;
        begin_us = env_now_us(env_system());
        pair_call(&pair, 60 * US_PER_MS);
        pair_until(&pair, &pair.n_errors, 1);
        ck_assert_uint_ge(env_now_us(env_system()) - begin_us, 60 * US_PER_MS);
        ck_assert_uint_eq(pair.n_lost, 0);
        pair_close(&pair);
}
END_TEST

/* A peer that goes away is told once, from outside of sd-bus's callbacks, with the glue detached.
 */
START_TEST(test_loss_is_told) {
        Pair pair;

        pair_open(&pair);
        pair.answers = false;
        pair_call(&pair, UINT64_MAX);
        pair_until(&pair, &pair.n_calls, 1);
        bus_glue_detach(&pair.server_glue);
        pair.server = sd_bus_close_unref(pair.server);
        pair_until(&pair, &pair.n_lost, 1);
        ck_assert_int_lt(pair.error, 0);
        ck_assert_int_eq(loop_turn(pair.loop, LOOK_US), 0);
        ck_assert_uint_eq(pair.n_lost, 1);
        pair_close(&pair);
}
END_TEST

/* A connection may be let go of in the callback of one of its calls; nothing more is heard of it.
 */
START_TEST(test_detach_in_callback) {
        Pair pair;

        pair_open(&pair);
        pair.detaches_on_reply = true;
        pair_call(&pair, UINT64_MAX);
        pair_call(&pair, UINT64_MAX);
        pair_until(&pair, &pair.n_replies, 1);
        for (unsigned i = 0; i < 5; i++)
                ck_assert_int_eq(loop_turn(pair.loop, 0), 0);
        ck_assert_uint_eq(pair.n_replies, 1);
        ck_assert_uint_eq(pair.n_lost, 0);
        pair_close(&pair);
}
END_TEST

/* A connection that is idle asks for nothing: the loop sleeps as long as it is let. */
START_TEST(test_idle_sleeps) {
        uint64_t begin_us;
        Pair pair;

        pair_open(&pair);
        pair_call(&pair, UINT64_MAX);
        pair_until(&pair, &pair.n_replies, 1);
        begin_us = env_now_us(env_system());
        for (unsigned i = 0; i < 3; i++)
                ck_assert_int_eq(loop_turn(pair.loop, 10 * US_PER_MS), 0);
        ck_assert_uint_ge(env_now_us(env_system()) - begin_us, 20 * US_PER_MS);
        pair_close(&pair);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_calls_are_answered, test_timeout_fires, test_loss_is_told,
                test_detach_in_callback, test_idle_sleeps,
        };

        return tests_run("bus glue", tests, ELEMENTSOF(tests));
}
