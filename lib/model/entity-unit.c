/* SPDX-License-Identifier: Apache-2.0 */

/* Unit, UnitState and the error body of the HTTP API (contract sections 4.1 and 4.3).
 *
 * Members go out in alphabetical order, those without content are left out; an option with an empty
 * value so has no "value". Decoding is the inverse for what we write, and takes what other clients
 * may: any order, unknown members, null. Whether names and states are valid is the API's question:
 * it has a status and a message for each answer.
 */

#include <errno.h>

#include "lib/model/entity-json.h"
#include "lib/model/json-in.h"

void unit_done(Unit *unit) {
        free(unit->name);
        unit_file_free(unit->options);
        free(unit->desired_state);
        free(unit->current_state);
        free(unit->machine_id);
        free(unit->why);
        *unit = (Unit){ 0 };
}

static void options_write(const UnitFile *options, JsonOut *out) {
        json_out_key(out, "options");
        json_out_open(out, '[');
        for (size_t i = 0; i < options->n_options; i++) {
                const UnitOption *option = &options->options[i];

                json_out_open(out, '{');
                json_out_string(out, "name", option->name);
                json_out_string(out, "section", option->section);
                json_out_string(out, "value", option->value);
                json_out_close(out, '}');
        }
        json_out_close(out, ']');
}

void unit_write(const Unit *unit, JsonOut *out) {
        json_out_open(out, '{');
        json_out_string(out, "currentState", unit->current_state);
        json_out_string(out, "desiredState", unit->desired_state);
        json_out_string(out, "machineID", unit->machine_id);
        json_out_string(out, "name", unit->name);
        if (unit->options && unit->options->n_options > 0)
                options_write(unit->options, out);
        json_out_true(out, "restart", unit->restart);
        json_out_string(out, "why", unit->why);
        json_out_close(out, '}');
}

int unit_encode(const Unit *unit, Buf *out) {
        JsonOut json = json_out_begin(out);

        unit_write(unit, &json);
        return json_out_end(&json);
}

static int option_read(const json_t *object, UnitFile *options, Diag *diag) {
        _cleanup_(freep) char *section = NULL;
        _cleanup_(freep) char *name = NULL;
        _cleanup_(freep) char *value = NULL;
        int r;

        if (!json_is_object(object))
                return diag_set(diag, -EBADMSG, "an option must be an object");

        r = json_in_get_any_string(object, "section", &section, diag);
        if (r == 0)
                r = json_in_get_any_string(object, "name", &name, diag);
        if (r == 0)
                r = json_in_get_any_string(object, "value", &value, diag);
        if (r == 0)
                r = unit_file_add(options, section, name, value);
        return r;
}

static int options_read(const json_t *unit_object, UnitFile **ret_options, Diag *diag) {
        _cleanup_(unit_file_freep) UnitFile *options = NULL;
        json_t *array;
        int r;

        r = json_in_get_array(unit_object, "options", &array, diag);
        if (r < 0 || json_array_size(array) == 0)
                return r;

        r = unit_file_new(&options);
        for (size_t i = 0; r == 0 && i < json_array_size(array); i++) {
                r = option_read(json_array_get(array, i), options, diag);
                if (r == -EBADMSG)
                        return diag_wrap(diag, r, "options[%zu]", i);
        }
        if (r < 0)
                return r;

        *ret_options = TAKE(options);
        return 0;
}

int unit_read(const json_t *object, Unit *unit, Diag *diag) {
        int r;

        if (!json_is_object(object))
                return diag_set(diag, -EBADMSG, "a unit must be an object");

        r = json_in_get_string(object, "currentState", &unit->current_state, diag);
        if (r == 0)
                r = json_in_get_string(object, "desiredState", &unit->desired_state, diag);
        if (r == 0)
                r = json_in_get_string(object, "machineID", &unit->machine_id, diag);
        if (r == 0)
                r = json_in_get_string(object, "name", &unit->name, diag);
        if (r == 0)
                r = options_read(object, &unit->options, diag);
        if (r == 0)
                r = json_in_get_bool(object, "restart", &unit->restart, diag);
        if (r == 0)
                r = json_in_get_string(object, "why", &unit->why, diag);
        return r;
}

int unit_decode(const char *json, size_t n_bytes, Unit *ret_unit, Diag *diag) {
        _cleanup_(unit_done) Unit unit = { 0 };
        json_auto_t *root = NULL;
        int r;

        r = json_in_parse(json, n_bytes, JSON_OBJECT, &root, diag);
        if (r == 0)
                r = unit_read(root, &unit, diag);
        if (r < 0)
                return r;

        *ret_unit = unit;
        unit = (Unit){ 0 };
        return 0;
}

void unit_state_done(UnitState *state) {
        free(state->name);
        free(state->machine_id);
        free(state->hash);
        free(state->load);
        free(state->active);
        free(state->sub);
        free(state->why);
        *state = (UnitState){ 0 };
}

void unit_state_write(const UnitState *state, JsonOut *out) {
        json_out_open(out, '{');
        json_out_string(out, "hash", state->hash);
        json_out_string(out, "machineID", state->machine_id);
        json_out_string(out, "name", state->name);
        json_out_string(out, "systemdActiveState", state->active);
        json_out_string(out, "systemdLoadState", state->load);
        json_out_string(out, "systemdSubState", state->sub);
        json_out_string(out, "why", state->why);
        json_out_close(out, '}');
}

int unit_state_encode(const UnitState *state, Buf *out) {
        JsonOut json = json_out_begin(out);

        unit_state_write(state, &json);
        return json_out_end(&json);
}

int unit_state_read(const json_t *object, UnitState *state, Diag *diag) {
        int r;

        if (!json_is_object(object))
                return diag_set(diag, -EBADMSG, "a state must be an object");

        r = json_in_get_string(object, "hash", &state->hash, diag);
        if (r == 0)
                r = json_in_get_string(object, "machineID", &state->machine_id, diag);
        if (r == 0)
                r = json_in_get_string(object, "name", &state->name, diag);
        if (r == 0)
                r = json_in_get_string(object, "systemdActiveState", &state->active, diag);
        if (r == 0)
                r = json_in_get_string(object, "systemdLoadState", &state->load, diag);
        if (r == 0)
                r = json_in_get_string(object, "systemdSubState", &state->sub, diag);
        if (r == 0)
                r = json_in_get_string(object, "why", &state->why, diag);
        return r;
}

int error_encode(int code, const char *message, Buf *out) {
        JsonOut json = json_out_begin(out);

        json_out_open(&json, '{');
        json_out_key(&json, "error");
        json_out_open(&json, '{');
        json_out_number(&json, "code", code < 0 ? 0 : (uint64_t)code);
        json_out_any_string(&json, "message", message);
        json_out_close(&json, '}');
        json_out_close(&json, '}');
        return json_out_end(&json);
}

int error_decode(const char *json, size_t n_bytes, int *ret_code, char **ret_message) {
        json_auto_t *root = NULL;
        char *message = NULL;
        uint64_t code = 0;
        json_t *object;
        int r;

        r = json_in_parse(json, n_bytes, JSON_OBJECT, &root, NULL);
        if (r < 0)
                return r;

        object = json_in_get(root, "error");
        if (!json_is_object(object))
                return -EBADMSG;

        r = json_in_get_number(object, "code", &code, NULL);
        if (r == 0 && code > INT32_MAX)
                r = -EBADMSG;
        if (r == 0)
                r = json_in_get_any_string(object, "message", &message, NULL);
        if (r < 0)
                return r;

        *ret_code = (int)code;
        *ret_message = message;
        return 0;
}
