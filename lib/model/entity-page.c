/* SPDX-License-Identifier: Apache-2.0 */

/* Machine, and the pages of all three lists (contract sections 4.3 and 4.4).
 *
 * A page is written element by element into the caller's buffer; there is never a tree of it.
 * Reading one does build jansson's tree first: clients do that, and the API for the batches of
 * units whose size its body limit bounds.
 *
 * Which of its arrays a page uses is not stored: an empty page looks the same for every list, "{}",
 * as it does on the wire.
 */

#include <errno.h>

#include "lib/model/entity-json.h"
#include "lib/model/json-in.h"

void machine_done(Machine *machine) {
        free(machine->id);
        free(machine->primary_ip);
        metadata_done(&machine->metadata);
        *machine = (Machine){ 0 };
}

static void machine_write(const Machine *machine, JsonOut *out) {
        json_out_open(out, '{');
        json_out_string(out, "id", machine->id);
        json_out_true(out, "leaving", machine->is_leaving);
        if (machine->metadata.n_entries > 0) {
                json_out_key(out, "metadata");
                json_out_metadata(out, &machine->metadata);
        }
        if (machine->missing_since_s > 0)
                json_out_number(out, "missingSince", machine->missing_since_s);
        json_out_string(out, "primaryIP", machine->primary_ip);
        json_out_close(out, '}');
}

static int machine_read(const json_t *object, Machine *machine, Diag *diag) {
        int r;

        if (!json_is_object(object))
                return diag_set(diag, -EBADMSG, "a machine must be an object");

        r = json_in_require_string(object, "id", &machine->id, diag);
        if (r == 0)
                r = json_in_get_bool(object, "leaving", &machine->is_leaving, diag);
        if (r == 0)
                r = json_in_get_metadata(object, "metadata", &machine->metadata, diag);
        if (r == 0)
                r = json_in_get_number(object, "missingSince", &machine->missing_since_s, diag);
        if (r == 0)
                r = json_in_get_string(object, "primaryIP", &machine->primary_ip, diag);
        return r;
}

void page_done(Page *page) {
        for (size_t i = 0; i < page->n_units; i++)
                unit_done(&page->units[i]);
        for (size_t i = 0; i < page->n_machines; i++)
                machine_done(&page->machines[i]);
        for (size_t i = 0; i < page->n_states; i++)
                unit_state_done(&page->states[i]);
        free(page->units);
        free(page->machines);
        free(page->states);
        free(page->next_page_token);
        *page = (Page){ 0 };
}

static void machines_write(const Page *page, JsonOut *out) {
        for (size_t i = 0; i < page->n_machines; i++)
                machine_write(&page->machines[i], out);
}

static void states_write(const Page *page, JsonOut *out) {
        for (size_t i = 0; i < page->n_states; i++)
                unit_state_write(&page->states[i], out);
}

static void units_write(const Page *page, JsonOut *out) {
        for (size_t i = 0; i < page->n_units; i++)
                unit_write(&page->units[i], out);
}

/* A member with a list, left out when there is nothing in it. */
static void list_write(const Page *page, const char *key, size_t n_entries,
                       void (*write)(const Page *page, JsonOut *out), JsonOut *out) {
        if (n_entries == 0)
                return;
        json_out_key(out, key);
        json_out_open(out, '[');
        write(page, out);
        json_out_close(out, ']');
}

void machine_list_write(const Machine *machines, size_t n_machines, JsonOut *out) {
        const Page page = { .machines = (Machine *)machines, .n_machines = n_machines };

        list_write(&page, "machines", n_machines, machines_write, out);
}

int page_encode(const Page *page, Buf *out) {
        JsonOut json = json_out_begin(out);

        json_out_open(&json, '{');
        list_write(page, "machines", page->n_machines, machines_write, &json);
        json_out_string(&json, "nextPageToken", page->next_page_token);
        list_write(page, "states", page->n_states, states_write, &json);
        list_write(page, "units", page->n_units, units_write, &json);
        json_out_close(&json, '}');
        return json_out_end(&json);
}

int page_encode_array(const Page *page, Buf *out) {
        JsonOut json = json_out_begin(out);

        json_out_open(&json, '[');
        machines_write(page, &json);
        states_write(page, &json);
        units_write(page, &json);
        json_out_close(&json, ']');
        return json_out_end(&json);
}

/* The member's array, and zeroed memory for as many elements, or NULL where there are none. */
static int begin_list(const json_t *root, const char *key, size_t element_bytes, json_t **ret_array,
                      void **ret_elements, Diag *diag) {
        void *elements;
        json_t *array;
        int r;

        r = json_in_get_array(root, key, &array, diag);
        if (r < 0)
                return r;

        elements = NULL;
        if (json_array_size(array) > 0) {
                elements = calloc(json_array_size(array), element_bytes);
                if (!elements)
                        return -ENOMEM;
        }

        *ret_array = array;
        *ret_elements = elements;
        return 0;
}

int machine_list_read(const json_t *object, Machine **ret_machines, size_t *io_n, Diag *diag) {
        void *machines;
        json_t *array;
        int r;

        r = begin_list(object, "machines", sizeof(Machine), &array, &machines, diag);
        if (r < 0)
                return r;

        *ret_machines = machines;
        while (r == 0 && *io_n < json_array_size(array)) {
                size_t i = (*io_n)++;

                r = machine_read(json_array_get(array, i), &(*ret_machines)[i], diag);
                if (r == -EBADMSG)
                        return diag_wrap(diag, r, "machines[%zu]", i);
        }
        return r;
}

static int page_read_units(const json_t *root, Page *page, Diag *diag) {
        json_t *array;
        void *units;
        int r;

        r = begin_list(root, "units", sizeof(Unit), &array, &units, diag);
        if (r < 0)
                return r;

        page->units = units;
        while (r == 0 && page->n_units < json_array_size(array)) {
                size_t i = page->n_units++;

                r = unit_read(json_array_get(array, i), &page->units[i], diag);
                if (r == -EBADMSG)
                        return diag_wrap(diag, r, "units[%zu]", i);
        }
        return r;
}

static int page_read_states(const json_t *root, Page *page, Diag *diag) {
        json_t *array;
        void *states;
        int r;

        r = begin_list(root, "states", sizeof(UnitState), &array, &states, diag);
        if (r < 0)
                return r;

        page->states = states;
        while (r == 0 && page->n_states < json_array_size(array)) {
                size_t i = page->n_states++;

                r = unit_state_read(json_array_get(array, i), &page->states[i], diag);
                if (r == -EBADMSG)
                        return diag_wrap(diag, r, "states[%zu]", i);
        }
        return r;
}

int page_decode(const char *json, size_t n_bytes, Page *ret_page, Diag *diag) {
        _cleanup_(page_done) Page page = { 0 };
        json_auto_t *root = NULL;
        int r;

        r = json_in_parse(json, n_bytes, JSON_OBJECT, &root, diag);
        if (r == 0)
                r = machine_list_read(root, &page.machines, &page.n_machines, diag);
        if (r == 0)
                r = page_read_units(root, &page, diag);
        if (r == 0)
                r = page_read_states(root, &page, diag);
        if (r == 0)
                r = json_in_get_string(root, "nextPageToken", &page.next_page_token, diag);
        if (r < 0)
                return r;

        *ret_page = page;
        page = (Page){ 0 };
        return 0;
}
