/* SPDX-License-Identifier: Apache-2.0 */

/* PUT units/NAME and POST units: create units, replace their content, set their desired state.
 *
 * A PUT is a batch of one. The records of all units are read at one revision; each is decided on
 * (unit-write-check.c); then one transaction writes them all, comparing that none was changed
 * meanwhile: one by one while the comparisons of a transaction suffice, else by stretches of names.
 * A conflict, or an answer that never came, begins again with the reading. What was read then tells
 * whether the change had been made after all: records are written with a generation of their own.
 *
 * Files go into the same transaction when there is room, else before it, in transactions of their
 * own. A file that is written before its unit refers to it is compared to be still there when it
 * does.
 */

#include "api/unit-write.h"

#include <errno.h>

#include "api/api-private.h"
#include "lib/unit/unit-name.h"

enum {
        /* A put's bytes besides its value, at most: key, and what the request needs around it. */
        PUT_OVERHEAD_BYTES = 512,

        /* fleetctl waits for 40 s. */
        BATCH_PATIENCE_US = 20 * US_PER_S,
};

typedef struct WriteCall {
        ApiCall call;
        UnitChange *changes; /* owned, in byte order of the names */
        size_t n_changes;
        bool is_batch;
        bool maybe_made; /* a transaction was sent and nobody knows what became of it */
        bool is_as_sent; /* since the last reading: every record is what that transaction would have
                            made it */
        int refusal;     /* status of the first unit at fault since the last reading, or 0 */
        size_t i_refused;
        Diag refusal_diag;
        int64_t revision;         /* of the last reading */
        int64_t unknown_revision; /* of the reading before the first such transaction */
        size_t n_files_done;      /* changes whose files are written */
        bool splits_files;        /* files go in transactions of their own */
        unsigned n_attempts;
        uint64_t patience_end_us; /* loop_now_us() until which a batch is tried after conflicts */
} WriteCall;

static void write_free(ApiCall *call) {
        WriteCall *write = container_of(call, WriteCall, call);

        for (size_t i = 0; i < write->n_changes; i++)
                unit_change_done(&write->changes[i]);
        free(write->changes);
        free(write);
}

static void write_fail(ApiCall *call, int status);

static const ApiCallVtable write_vtable = { .free = write_free, .fail = write_fail };

static void write_read(WriteCall *write);

static void write_refuse(WriteCall *write, int status, const char *name, const char *message) {
        if (write->is_batch)
                api_call_error(&write->call, status, "%s: %s", name, message);
        else
                api_call_error(&write->call, status, "%s", message);
}

static void write_succeed(WriteCall *write) {
        api_call_reply(&write->call, write->is_batch ? 204 : write->changes[0].sent_status, NULL);
}

/* Writing */

/* A large batch compares more names than it writes, and every removal: somebody who destroys
 * hundreds of other units is in its way until he is done. After an attempt of unknown outcome a
 * removal is in its way for ever. */
static bool write_has_patience(const WriteCall *write) {
        return write->n_changes > 1 && !write->maybe_made &&
               loop_now_us(registry_loop(write->call.api->registry)) < write->patience_end_us;
}

static void on_units_written(ApiCall *call, int status) {
        WriteCall *write = container_of(call, WriteCall, call);

        if (status == 0) {
                write_succeed(write);
                return;
        }

        if (status == REGISTRY_E_UNKNOWN && !write->maybe_made) {
                write->maybe_made = true;
                write->unknown_revision = write->revision;
        }
        if (write->n_attempts < API_ATTEMPTS_MAX ||
            (status == REGISTRY_E_CONFLICT && write_has_patience(write)))
                write_read(write);
        else
                api_call_fail(call, status);
}

/* Compare stretches of names: fewer, the more there are. A unit that another one creates in such a
 * stretch is a conflict, too. */
static void compare_stretches(WriteCall *write, size_t n_stretches) {
        size_t n = (write->n_changes + n_stretches - 1) / n_stretches;

        for (size_t i = 0; i < write->n_changes; i += n) {
                size_t last = i + n < write->n_changes ? i + n - 1 : write->n_changes - 1;

                registry_write_if_unchanged_since(&write->call.write,
                                                  (RecordKey){ .kind = RECORD_UNIT },
                                                  write->changes[i].asked.name,
                                                  write->changes[last].asked.name, write->revision);
        }
}

static void compare_units(WriteCall *write) {
        if (write->n_changes > STORE_TXN_OPS_MAX / 2) {
                compare_stretches(write, STORE_TXN_OPS_MAX / 2);
                return;
        }
        for (size_t i = 0; i < write->n_changes; i++) {
                RecordKey key = { .kind = RECORD_UNIT, .unit = write->changes[i].asked.name };

                registry_write_if_modified_at(&write->call.write, key,
                                              write->changes[i].mod_revision);
        }
}

/* A copy of a creation that arrives late finds a unit that was destroyed meanwhile as it found it
 * before: absent. So it compares that none was destroyed, too; and a second attempt that none was
 * since the first, which may have made what was destroyed then. */
static void compare_removals(WriteCall *write) {
        const int64_t revision = write->unknown_revision ? write->unknown_revision
                                                         : write->revision;
        const bool compares_each = write->n_changes <= STORE_TXN_OPS_MAX / 4;

        for (size_t i = 0; i < write->n_changes; i++) {
                const UnitChange *change = &write->changes[i];

                if (change->mod_revision > 0)
                        continue;
                registry_write_if_not_removed_since(
                        &write->call.write, compares_each ? change->asked.name : NULL, revision);
                if (!compares_each)
                        return;
        }
}

static void write_units(WriteCall *write) {
        RegistryWrite *txn = &write->call.write;

        registry_write_begin(txn, write->call.api->registry);
        registry_write_if_open(txn);
        compare_units(write);
        compare_removals(write);
        for (size_t i = 0; i < write->n_changes; i++) {
                UnitChange *change = &write->changes[i];

                registry_write_put_unit(txn, change->asked.name, &change->record);
                unit_record_done(&change->sent);
                change->sent = change->record;
                change->record = (UnitRecord){ 0 };
                change->sent_mod_revision = change->mod_revision;
                change->sent_status = change->status;
                if (!change->carries_file)
                        continue;
                if (!write->splits_files)
                        registry_write_put_file(txn, change->hash, change->text.data,
                                                change->text.n_bytes);
                else if (txn->n_compares < STORE_TXN_OPS_MAX)
                        registry_write_if_present(
                                txn, (RecordKey){ .kind = RECORD_FILE, .unit = change->hash });
        }
        api_call_write(&write->call, on_units_written);
}

static void write_files(WriteCall *write);

static void on_files_written(ApiCall *call, int status) {
        WriteCall *write = container_of(call, WriteCall, call);

        if (status == 0)
                write_files(write);
        else if (write->n_attempts < API_ATTEMPTS_MAX)
                write_read(write);
        else
                api_call_fail(call, status);
}

/* The next transaction full of files; when there is none, the units. */
static void write_files(WriteCall *write) {
        RegistryWrite *txn = &write->call.write;

        registry_write_begin(txn, write->call.api->registry);
        for (; write->n_files_done < write->n_changes; write->n_files_done++) {
                UnitChange *change = &write->changes[write->n_files_done];

                if (!change->carries_file)
                        continue;
                if (registry_write_size(txn) == STORE_TXN_OPS_MAX ||
                    (!registry_write_is_empty(txn) &&
                     registry_write_bytes(txn) + change->text.n_bytes + PUT_OVERHEAD_BYTES >
                             STORE_REQUEST_MAX_BYTES))
                        break;
                registry_write_put_file(txn, change->hash, change->text.data, change->text.n_bytes);
        }

        if (registry_write_is_empty(txn))
                write_units(write);
        else
                api_call_write(&write->call, on_files_written);
}

static void write_begin(WriteCall *write) {
        HashMap files = { 0 };
        size_t n_bytes = 0, n_ops = 0;

        for (size_t i = 0; i < write->n_changes; i++) {
                UnitChange *change = &write->changes[i];

                n_bytes += PUT_OVERHEAD_BYTES;
                n_ops++;
                change->node = (HashNode){ 0 };
                change->carries_file = change->puts_file &&
                                       hash_map_put(&files, &change->node, change->hash) != -EEXIST;
                if (change->carries_file) {
                        n_bytes += change->text.n_bytes + PUT_OVERHEAD_BYTES;
                        n_ops++;
                }
        }

        hash_map_done(&files);
        write->n_attempts++;
        write->n_files_done = 0;
        write->splits_files = n_bytes > STORE_REQUEST_MAX_BYTES || n_ops > API_BATCH_MAX;
        if (write->splits_files)
                write_files(write);
        else
                write_units(write);
}

/* Reading and deciding */

static bool record_is_as_sent(const UnitChange *change, const Record *record) {
        return record && !record->is_bad && unit_record_equals(&record->unit, &change->sent);
}

static int unit_take(ApiCall *call, size_t i, const RegistryPage *page) {
        WriteCall *write = container_of(call, WriteCall, call);
        UnitChange *change = &write->changes[i];
        const Record *record = page->n_records > 0 ? page->records : NULL;
        Diag diag = { 0 };
        int refusal;

        if (write->revision == 0)
                write->revision = page->revision;
        if (!record_is_as_sent(change, record))
                write->is_as_sent = false;

        refusal = unit_change_decide(change, record,
                                     registry_base(call->api->registry) + write->revision, &diag);
        if (refusal < 0)
                return refusal;
        /* A second copy of what may yet be carried out must be the same, so that it does not matter
         * which one it is. */
        if (write->maybe_made && change->mod_revision == change->sent_mod_revision)
                change->record.generation = change->sent.generation;
        if (refusal != 0 && (write->refusal == 0 || i < write->i_refused)) {
                write->refusal = refusal;
                write->refusal_diag = diag;
                write->i_refused = i;
        }
        return 0;
}

static void on_decided(ApiCall *call) {
        WriteCall *write = container_of(call, WriteCall, call);

        if (write->maybe_made && write->is_as_sent)
                write_succeed(write);
        else if (write->refusal != 0)
                write_refuse(write, write->refusal, write->changes[write->i_refused].asked.name,
                             write->refusal_diag.message);
        else
                write_begin(write);
}

static void unit_range(ApiCall *call, size_t i, RegistryRange *range) {
        WriteCall *write = container_of(call, WriteCall, call);

        range->key = (RecordKey){ .kind = RECORD_UNIT, .unit = write->changes[i].asked.name };
        range->revision = write->revision;
}

static void write_fetch_all(ApiCall *call, const RegistryPage *page) {
        WriteCall *write = container_of(call, WriteCall, call);

        write->revision = page->revision;
        api_call_fetch(call, write->n_changes, on_decided);
}

static void write_read(WriteCall *write) {
        const RegistryRange range = { .key = { .kind = RECORD_UNIT,
                                               .unit = write->changes[0].asked.name },
                                      .keys_only = true };

        write->revision = 0;
        write->refusal = 0;
        write->is_as_sent = true;
        write->call.fetch.range = unit_range;
        write->call.fetch.take = unit_take;
        if (write->n_changes == 1)
                api_call_fetch(&write->call, 1, on_decided);
        else
                api_call_read(&write->call, &range, write_fetch_all);
}

/* The units are read as of one revision, which may be compacted away while they are: then they are
 * read as of another. */
static void write_fail(ApiCall *call, int status) {
        WriteCall *write = container_of(call, WriteCall, call);

        if (status != REGISTRY_E_COMPACTED)
                api_call_give_up(call, status);
        else if (write->n_attempts++ < API_ATTEMPTS_MAX)
                write_read(write);
        else
                api_call_give_up(call, REGISTRY_E_UNREACHABLE);
}

/* Requests */

static int compare_names(const void *a, const void *b) {
        return strcmp(((const UnitChange *)a)->asked.name, ((const UnitChange *)b)->asked.name);
}

static void api_write_start(WriteCall *write) {
        write->patience_end_us = loop_now_us(registry_loop(write->call.api->registry)) +
                                 BATCH_PATIENCE_US;
        for (size_t i = 0; i < write->n_changes; i++) {
                int r = unit_change_prepare(&write->changes[i]);

                if (r < 0) {
                        api_call_fail(&write->call, r);
                        return;
                }
        }
        write_read(write);
}

/* Check the names; false after having answered. */
static bool write_check_names(WriteCall *write) {
        Diag diag = { 0 };

        for (size_t i = 0; i < write->n_changes; i++) {
                const char *name = write->changes[i].asked.name;

                if (unit_name_check(name ? name : "", &diag) < 0) {
                        write_refuse(write, 400, name ? name : "units", diag.message);
                        return false;
                }
        }
        qsort(write->changes, write->n_changes, sizeof(UnitChange), compare_names);
        for (size_t i = 1; i < write->n_changes; i++) {
                if (compare_names(&write->changes[i - 1], &write->changes[i]) == 0) {
                        write_refuse(write, 400, write->changes[i].asked.name,
                                     "given more than once");
                        return false;
                }
        }
        return true;
}

static WriteCall *write_new(Api *api, HttpExchange *exchange, size_t n_changes) {
        WriteCall *write = api_call_new(sizeof(*write), api, exchange, &write_vtable);

        if (!write)
                return NULL;
        write->changes = calloc(n_changes, sizeof(UnitChange));
        if (!write->changes) {
                api_call_fail(&write->call, -ENOMEM);
                return NULL;
        }
        write->n_changes = n_changes;
        return write;
}

void api_unit_put(Api *api, HttpExchange *exchange, const char *name) {
        _cleanup_(unit_done) Unit unit = { 0 };
        Diag diag = { 0 };
        WriteCall *write;
        const char *body;
        size_t n_bytes;
        int r;

        if (!api_check_content_type(api, exchange))
                return;

        body = http_exchange_body(exchange, &n_bytes);
        r = unit_decode(body, n_bytes, &unit, &diag);
        if (r == -EBADMSG) {
                api_reply_error(api, exchange, 400, "unable to decode body: %s", diag.message);
                return;
        }
        if (r == 0 && unit.name && *unit.name && !streq(unit.name, name)) {
                api_reply_error(api, exchange, 400,
                                "name in URL \"%s\" differs from unit name in request body \"%s\"",
                                name, unit.name);
                return;
        }
        if (r == 0) {
                free(unit.name);
                unit.name = strdup(name);
        }
        if (r < 0 || !unit.name) {
                api_reply_failure(api, exchange, -ENOMEM);
                return;
        }

        write = write_new(api, exchange, 1);
        if (!write)
                return;
        write->changes[0].asked = unit;
        unit = (Unit){ 0 };
        if (write_check_names(write))
                api_write_start(write);
}

void api_units_post(Api *api, HttpExchange *exchange, const char *name) {
        _cleanup_(page_done) Page page = { 0 };
        Diag diag = { 0 };
        WriteCall *write;
        const char *body;
        size_t n_bytes;
        int r;

        (void)name;
        if (!api_check_content_type(api, exchange))
                return;

        body = http_exchange_body(exchange, &n_bytes);
        r = page_decode(body, n_bytes, &page, &diag);
        if (r == -EBADMSG)
                api_reply_error(api, exchange, 400, "unable to decode body: %s", diag.message);
        else if (r < 0)
                api_reply_failure(api, exchange, r);
        else if (page.n_units == 0)
                api_reply_empty(api, exchange, 204);
        else if (page.n_units > API_BATCH_MAX)
                api_reply_error(api, exchange, 413, "more than %d units in one request",
                                API_BATCH_MAX);
        else
                r = 1;
        if (r != 1)
                return;

        write = write_new(api, exchange, page.n_units);
        if (!write)
                return;
        write->is_batch = true;
        for (size_t i = 0; i < page.n_units; i++) {
                write->changes[i].asked = page.units[i];
                page.units[i] = (Unit){ 0 };
        }
        if (write_check_names(write))
                api_write_start(write);
}
