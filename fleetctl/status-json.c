/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetctl/status-json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fleetctl/resolve.h"
#include "lib/base/macro.h"

enum {
        JSON_MAX_BYTES = 256 * 1024 * 1024,
        EXIT_NOT_ACTIVE = 3, /* systemctl(1) */
};

/* The units asked for, in their order, and everything that is reported. */
typedef struct Status {
        const Cli *cli; /* borrowed */
        Resolved resolved;
        Unit *units; /* owned, parallel to resolved.names; without a name where unknown */
        Page states;
        int code;
} Status;

static void status_done(Status *status) {
        for (size_t i = 0; status->units && i < status->resolved.names.n_items; i++)
                unit_done(&status->units[i]);
        free(status->units);
        resolved_done(&status->resolved);
        page_done(&status->states);
}

static int status_read(Status *status, Client *client, Diag *diag) {
        int r;

        r = resolve_words(client, &status->cli->args, &status->resolved, diag);
        if (r < 0)
                return r;

        status->units = calloc(status->resolved.names.n_items + 1, sizeof(Unit));
        if (!status->units)
                return -ENOMEM;
        r = resolved_get_units(&status->resolved, client, status->units, diag);
        return r < 0 ? r : client_list(client, LIST_STATES, &status->states, diag);
}

/* Is it a state of this unit, on a machine that was asked for? */
static bool is_of(const Status *status, const UnitState *state, const Unit *unit) {
        const char *machine = status->cli->options.machine;

        return state->name && streq(state->name, unit->name) &&
               (!machine ||
                (state->machine_id && strncmp(state->machine_id, machine, strlen(machine)) == 0));
}

static int append_states(Status *status, const Unit *unit, Buf *out) {
        bool is_active = false;
        size_t n = 0;
        int r = 0;

        for (size_t i = 0; r == 0 && i < status->states.n_states; i++) {
                const UnitState *state = &status->states.states[i];

                if (!is_of(status, state, unit))
                        continue;
                is_active |= state->active && streq(state->active, "active");
                r = buf_append_string(out, n++ > 0 ? "," : "");
                if (r == 0)
                        r = unit_state_encode(state, out);
        }
        if (!is_active && status->code == EXIT_OK)
                status->code = EXIT_NOT_ACTIVE;
        return r;
}

static int append_unit(Status *status, Unit *unit, Buf *out) {
        int r;

        unit->options = unit_file_free(unit->options);
        r = buf_append_string(out, "{\"states\":[");
        if (r == 0)
                r = append_states(status, unit, out);
        if (r == 0)
                r = buf_append_string(out, "],\"unit\":");
        if (r == 0)
                r = unit_encode(unit, out);
        return r < 0 ? r : buf_append_string(out, "}");
}

static int append_all(Status *status, Buf *out) {
        size_t n = 0;
        int r;

        r = buf_append_string(out, "[");
        for (size_t i = 0; r == 0 && i < status->resolved.names.n_items; i++) {
                if (!status->units[i].name) {
                        status->code = cli_fail("Unit %s does not exist.",
                                                status->resolved.names.items[i]);
                        continue;
                }
                r = buf_append_string(out, n++ > 0 ? "," : "");
                if (r == 0)
                        r = append_unit(status, &status->units[i], out);
        }
        return r < 0 ? r : buf_append_string(out, "]\n");
}

int status_print_json(Cli *cli) {
        _cleanup_(status_done) Status status = { .cli = cli };
        _cleanup_(buf_done) Buf out = buf_make(JSON_MAX_BYTES);
        Diag diag = { 0 };
        Client *client;
        int r;

        r = cli_client(cli, &client);
        if (r < 0)
                return EXIT_FAILED;

        r = status_read(&status, client, &diag);
        if (r == 0)
                r = append_all(&status, &out);
        if (r < 0)
                return cli_fail_because("Error retrieving units", r, &diag);

        for (size_t i = 0; i < status.resolved.unmatched.n_items; i++)
                status.code = cli_fail("No unit matches %s", status.resolved.unmatched.items[i]);
        (void)fwrite(out.data, 1, out.n_bytes, stdout);
        return status.code;
}
