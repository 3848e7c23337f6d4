/* SPDX-License-Identifier: Apache-2.0 */

/* The dump of a daemon's state. */

#include "lib/model/dump.h"

#include "lib/model/json-out.h"

static void put_state(JsonOut *out, const DumpUnit *unit, const char *machine) {
        const StateRecord *state = &unit->state;

        json_out_key(out, unit->name);
        json_out_open(out, '{');
        json_out_any_string(out, "activeState", state->active);
        json_out_any_string(out, "loadState", state->load);
        json_out_key(out, "machineState");
        json_out_open(out, '{');
        json_out_any_string(out, "ID", machine);
        json_out_close(out, '}');
        json_out_any_string(out, "subState", state->sub);
        json_out_any_string(out, "unitHash", state->hash);
        json_out_close(out, '}');
}

static void put_targets(JsonOut *out, const Dump *dump) {
        json_out_key(out, "Agent");
        json_out_open(out, '{');
        json_out_key(out, "Cache");
        json_out_open(out, '{');
        json_out_key(out, "TargetStates");
        json_out_open(out, '{');
        for (size_t i = 0; i < dump->n_units; i++)
                if (dump->units[i].target)
                        json_out_any_string(out, dump->units[i].name, dump->units[i].target);
        json_out_close(out, '}');
        json_out_close(out, '}');
        json_out_close(out, '}');
}

static void put_values(JsonOut *out, const Dump *dump) {
        json_out_key(out, "Fleetd");
        json_out_open(out, '{');
        for (size_t i = 0; i < dump->n_values; i++) {
                const DumpValue *value = &dump->values[i];

                if (value->text)
                        json_out_any_string(out, value->key, value->text);
                else
                        json_out_number(out, value->key, value->number);
        }
        json_out_close(out, '}');
}

static void put_subscribed(JsonOut *out, const Dump *dump) {
        json_out_key(out, "UnitStateGenerator");
        json_out_open(out, '{');
        json_out_key(out, "Subscribed");
        json_out_open(out, '[');
        for (size_t i = 0; i < dump->n_units; i++)
                if (dump->units[i].is_subscribed)
                        json_out_element(out, dump->units[i].name);
        json_out_close(out, ']');
        json_out_close(out, '}');
}

static void put_states(JsonOut *out, const Dump *dump) {
        json_out_key(out, "UnitStatePublisher");
        json_out_open(out, '{');
        json_out_key(out, "Cache");
        json_out_open(out, '{');
        for (size_t i = 0; i < dump->n_units; i++) {
                const DumpUnit *unit = &dump->units[i];

                if (unit->is_published && unit->has_state && !unit->is_to_publish)
                        put_state(out, unit, dump->machine);
                else if (unit->is_published)
                        json_out_null(out, unit->name);
        }
        json_out_close(out, '}');
        json_out_key(out, "ToPublish");
        json_out_open(out, '{');
        for (size_t i = 0; i < dump->n_units; i++) {
                const DumpUnit *unit = &dump->units[i];

                if (unit->is_to_publish && unit->has_state)
                        put_state(out, unit, dump->machine);
                else if (unit->is_to_publish)
                        json_out_null(out, unit->name);
        }
        json_out_close(out, '}');
        json_out_close(out, '}');
}

int dump_encode(const Dump *dump, Buf *out) {
        JsonOut json = json_out_begin(out);

        json_out_open(&json, '{');
        put_targets(&json, dump);
        put_values(&json, dump);
        put_subscribed(&json, dump);
        put_states(&json, dump);
        json_out_close(&json, '}');
        return json_out_end(&json);
}
