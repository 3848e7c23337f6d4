/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <jansson.h>

#include "lib/model/dump.h"
#include "tests/unit/fault.h"

/* The dump of a daemon's state. */

enum { MAX_BYTES = 64 * 1024 };

static char up[] = "active", running[] = "running", loaded[] = "loaded", odd[] = "a\"b\xff";

/* Every combination that a unit can be in: as it was published, newer than that, not published yet,
 * about to be removed, only on the host. */
static const DumpUnit units[] = {
        { .name = "a.service",
          .target = "launched",
          .state = { .load = loaded, .active = up, .sub = running, .hash = "8bde" },
          .has_state = true,
          .is_published = true,
          .is_subscribed = true },
        { .name = "b.service",
          .target = "loaded",
          .state = { .load = loaded, .active = up, .sub = odd },
          .has_state = true,
          .is_published = true,
          .is_to_publish = true },
        { .name = "c.service",
          .state = { .load = loaded, .active = up, .sub = running },
          .has_state = true,
          .is_to_publish = true,
          .is_subscribed = true },
        { .name = "d.service", .is_published = true, .is_to_publish = true },
        { .name = "e.service" },
};

static const DumpValue values[] = { { "Count", .number = 7 }, { "Text", .text = "" } };

static const Dump dump = { .machine = "m1",
                           .units = units,
                           .n_units = ELEMENTSOF(units),
                           .values = values,
                           .n_values = ELEMENTSOF(values) };

START_TEST(test_members) {
        _cleanup_(buf_done) Buf text = buf_make(MAX_BYTES);

        ck_assert_int_eq(dump_encode(&dump, &text), 0);
        ck_assert_str_eq(
                text.data,
                "{\"Agent\":{\"Cache\":{\"TargetStates\":{\"a.service\":\"launched\","
                "\"b.service\":\"loaded\"}}},"
                "\"Fleetd\":{\"Count\":7,\"Text\":\"\"},"
                "\"UnitStateGenerator\":{\"Subscribed\":[\"a.service\",\"c.service\"]},"
                "\"UnitStatePublisher\":{\"Cache\":{\"a.service\":{\"activeState\":\"active\","
                "\"loadState\":\"loaded\",\"machineState\":{\"ID\":\"m1\"},\"subState\":"
                "\"running\","
                "\"unitHash\":\"8bde\"},\"b.service\":null,\"d.service\":null},"
                "\"ToPublish\":{\"b.service\":{\"activeState\":\"active\",\"loadState\":\"loaded\","
                "\"machineState\":{\"ID\":\"m1\"},\"subState\":\"a\\\"b\xef\xbf\xbd\","
                "\"unitHash\":\"\"},\"c.service\":{\"activeState\":\"active\","
                "\"loadState\":\"loaded\",\"machineState\":{\"ID\":\"m1\"},\"subState\":"
                "\"running\","
                "\"unitHash\":\"\"},\"d.service\":null}}}");
}
END_TEST

/* A daemon without anything has all the members, too, and it is JSON. */
START_TEST(test_empty) {
        _cleanup_(buf_done) Buf text = buf_make(MAX_BYTES);
        json_auto_t *json = NULL;

        ck_assert_int_eq(dump_encode(&(Dump){ .machine = "m1" }, &text), 0);
        json = json_loads(text.data, 0, NULL);
        ck_assert_ptr_nonnull(json);
        ck_assert_uint_eq(json_object_size(json), 4);
}
END_TEST

/* What does not fit leaves the buffer as it was. */
START_TEST(test_too_long) {
        _cleanup_(buf_done) Buf text = buf_make(500);

        ck_assert_int_eq(buf_append_string(&text, "before"), 0);
        ck_assert_int_eq(dump_encode(&dump, &text), -ENOBUFS);
        ck_assert_uint_eq(text.n_bytes, 6);
}
END_TEST

static int encode(void *context) {
        _cleanup_(buf_done) Buf text = buf_make(MAX_BYTES);

        (void)context;
        return dump_encode(&dump, &text);
}

START_TEST(test_out_of_memory) {
        ck_assert_uint_gt(fault_sweep(encode, NULL), 1);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_members, test_empty, test_too_long,
                                       test_out_of_memory };

        return tests_run("dump", tests, ELEMENTSOF(tests));
}
