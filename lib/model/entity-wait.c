/* SPDX-License-Identifier: Apache-2.0 */

/* The request and the reply lines of POST /fleet/v1/wait (docs/api.md).
 *
 * A result is one line of the reply without its newline: compact JSON has none inside. Unlike the
 * entities of fleet 1.0 these are ours alone, so decoding insists on what both sides need: a state
 * that can be waited for, names, outcomes. A timeout of 0 means something and is always written.
 */

#include <errno.h>

#include "lib/model/entity-json.h"
#include "lib/model/json-in.h"

void wait_request_done(WaitRequest *request) {
        free(request->state);
        for (size_t i = 0; i < request->n_units; i++)
                unit_done(&request->units[i]);
        free(request->units);
        *request = (WaitRequest){ 0 };
}

int wait_request_encode(const WaitRequest *request, Buf *out) {
        JsonOut json = json_out_begin(out);

        json_out_open(&json, '{');
        json_out_string(&json, "state", request->state);
        json_out_number(&json, "timeoutMs", request->timeout_ms);
        if (request->n_units > 0) {
                json_out_key(&json, "units");
                json_out_open(&json, '[');
                for (size_t i = 0; i < request->n_units; i++) {
                        json_out_open(&json, '{');
                        json_out_string(&json, "machineID", request->units[i].machine_id);
                        json_out_string(&json, "name", request->units[i].name);
                        json_out_close(&json, '}');
                }
                json_out_close(&json, ']');
        }
        json_out_close(&json, '}');
        return json_out_end(&json);
}

static int check_wait_state(const char *state, Diag *diag) {
        if (streq(state, "gone") || job_state_from_string(state) >= 0)
                return 0;
        return diag_set(diag, -EBADMSG, "\"state\" must be inactive, loaded, launched or gone");
}

static int wait_unit_read(const json_t *object, Unit *unit, Diag *diag) {
        int r;

        if (!json_is_object(object))
                return diag_set(diag, -EBADMSG, "a unit must be an object");

        r = json_in_require_string(object, "name", &unit->name, diag);
        if (r == 0)
                r = json_in_get_string(object, "machineID", &unit->machine_id, diag);
        return r;
}

static int wait_units_read(const json_t *root, WaitRequest *request, Diag *diag) {
        json_t *array;
        size_t n;
        int r;

        r = json_in_get_array(root, "units", &array, diag);
        if (r < 0)
                return r;

        n = json_array_size(array);
        request->units = n > 0 ? calloc(n, sizeof(Unit)) : NULL;
        if (n > 0 && !request->units)
                return -ENOMEM;

        while (r == 0 && request->n_units < n) {
                size_t i = request->n_units++;

                r = wait_unit_read(json_array_get(array, i), &request->units[i], diag);
                if (r == -EBADMSG)
                        return diag_wrap(diag, r, "units[%zu]", i);
        }
        return r;
}

int wait_request_decode(const char *json, size_t n_bytes, WaitRequest *ret_request, Diag *diag) {
        _cleanup_(wait_request_done) WaitRequest request = { 0 };
        json_auto_t *root = NULL;
        int r;

        r = json_in_parse(json, n_bytes, JSON_OBJECT, &root, diag);
        if (r == 0)
                r = json_in_require_string(root, "state", &request.state, diag);
        if (r == 0)
                r = check_wait_state(request.state, diag);
        if (r == 0)
                r = json_in_get_number(root, "timeoutMs", &request.timeout_ms, diag);
        if (r == 0)
                r = wait_units_read(root, &request, diag);
        if (r < 0)
                return r;

        *ret_request = request;
        request = (WaitRequest){ 0 };
        return 0;
}

void wait_result_done(WaitResult *result) {
        free(result->name);
        free(result->outcome);
        free(result->state);
        free(result->machine_id);
        free(result->primary_ip);
        free(result->why);
        *result = (WaitResult){ 0 };
}

int wait_result_encode(const WaitResult *result, Buf *out) {
        JsonOut json = json_out_begin(out);

        json_out_open(&json, '{');
        json_out_string(&json, "machineID", result->machine_id);
        json_out_string(&json, "name", result->name);
        json_out_string(&json, "outcome", result->outcome);
        json_out_string(&json, "primaryIP", result->primary_ip);
        json_out_string(&json, "state", result->state);
        json_out_string(&json, "why", result->why);
        json_out_close(&json, '}');
        return json_out_end(&json);
}

static int wait_result_read(const json_t *root, WaitResult *result, Diag *diag) {
        int r;

        r = json_in_get_string(root, "machineID", &result->machine_id, diag);
        if (r == 0)
                r = json_in_require_string(root, "name", &result->name, diag);
        if (r == 0)
                r = json_in_require_string(root, "outcome", &result->outcome, diag);
        if (r == 0)
                r = json_in_get_string(root, "primaryIP", &result->primary_ip, diag);
        if (r == 0)
                r = json_in_get_string(root, "state", &result->state, diag);
        if (r == 0)
                r = json_in_get_string(root, "why", &result->why, diag);
        return r;
}

int wait_result_decode(const char *json, size_t n_bytes, WaitResult *ret_result, Diag *diag) {
        _cleanup_(wait_result_done) WaitResult result = { 0 };
        json_auto_t *root = NULL;
        int r;

        r = json_in_parse(json, n_bytes, JSON_OBJECT, &root, diag);
        if (r == 0)
                r = wait_result_read(root, &result, diag);
        if (r < 0)
                return r;

        *ret_result = result;
        result = (WaitResult){ 0 };
        return 0;
}
