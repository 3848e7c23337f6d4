/* SPDX-License-Identifier: Apache-2.0 */

/* Writing records.
 *
 * While a transaction is made, its keys and values lie one after the other in a buffer, and the
 * items refer to them by offset, since the buffer moves as it grows. The first error while building
 * is kept and told by the commit, so that a caller can write a transaction down as a plain sequence
 * of calls.
 */

#include "lib/registry/write.h"

#include <assert.h>
#include <errno.h>

#include "lib/registry/key.h"

/* Bytes in the transaction's buffer. */
typedef struct Span {
        size_t offset;
        size_t n_bytes;
} Span;

typedef struct WriteItem {
        bool is_compare;
        Span key;
        Span end;   /* comparison over a range; else empty */
        Span value; /* put */
        int64_t lease;
        int64_t revision;
        int target; /* STORE_COMPARE_CREATE, STORE_COMPARE_MOD */
        int result; /* STORE_COMPARE_EQUAL... */
        int kind;   /* STORE_OP_PUT, STORE_OP_DELETE */
} WriteItem;

void registry_write_begin(RegistryWrite *write, Registry *registry) {
        assert(!registry_write_is_pending(write));

        if (!write->registry)
                write->bytes = buf_make(2 * STORE_REQUEST_MAX_BYTES);
        write->registry = registry;
        write->n_items = write->n_compares = write->n_ops = 0;
        write->error = 0;
        buf_clear(&write->bytes);
}

static WriteItem *write_add(RegistryWrite *write) {
        size_t n = write->n_items_allocated ? 2 * write->n_items_allocated : 16;
        WriteItem *items = write->items;

        assert(write->registry);

        if (write->error < 0)
                return NULL;

        if (write->n_items == write->n_items_allocated) {
                items = realloc(items, n * sizeof(*items));
                if (!items) {
                        write->error = -ENOMEM;
                        return NULL;
                }
                write->items = items;
                write->n_items_allocated = n;
        }

        items[write->n_items] = (WriteItem){ 0 };
        return &items[write->n_items++];
}

static Span write_key(RegistryWrite *write, const RecordKey *key) {
        Span span = { .offset = write->bytes.n_bytes };
        int r = record_key_encode(write->registry, key, &write->bytes);

        if (r < 0 && write->error == 0)
                write->error = r;
        span.n_bytes = write->bytes.n_bytes - span.offset;
        return span;
}

static Span write_bytes(RegistryWrite *write, const void *bytes, size_t n_bytes) {
        Span span = { .offset = write->bytes.n_bytes, .n_bytes = n_bytes };
        int r = buf_append(&write->bytes, bytes, n_bytes);

        if (r < 0 && write->error == 0)
                write->error = r;
        return span;
}

static void write_compare(RegistryWrite *write, const RecordKey *key, int target, int result,
                          int64_t revision) {
        WriteItem *item = write_add(write);

        if (!item)
                return;

        assert(record_key_is_complete(key));
        *item = (WriteItem){
                .is_compare = true, .target = target, .result = result, .revision = revision
        };
        item->key = write_key(write, key);
        write->n_compares++;
}

void registry_write_if_absent(RegistryWrite *write, RecordKey key) {
        write_compare(write, &key, STORE_COMPARE_CREATE, STORE_COMPARE_EQUAL, 0);
}

void registry_write_if_present(RegistryWrite *write, RecordKey key) {
        write_compare(write, &key, STORE_COMPARE_CREATE, STORE_COMPARE_GREATER, 0);
}

void registry_write_if_created_at(RegistryWrite *write, RecordKey key, int64_t revision) {
        write_compare(write, &key, STORE_COMPARE_CREATE, STORE_COMPARE_EQUAL, revision);
}

void registry_write_if_modified_at(RegistryWrite *write, RecordKey key, int64_t revision) {
        write_compare(write, &key, STORE_COMPARE_MOD, STORE_COMPARE_EQUAL, revision);
}

void registry_write_if_open(RegistryWrite *write) {
        registry_write_if_absent(write, (RecordKey){ .kind = RECORD_CLOSED });
}

void registry_write_if_not_removed_since(RegistryWrite *write, const char *unit, int64_t revision) {
        char slot[REMOVED_SLOT_BYTES];
        RecordKey key = { .kind = RECORD_REMOVED };

        if (!unit) {
                registry_write_if_unchanged_since(write, key, "", "ffff", revision);
                return;
        }
        removed_slot(unit, slot);
        key.unit = slot;
        write_compare(write, &key, STORE_COMPARE_MOD, STORE_COMPARE_LESS, revision + 1);
}

void registry_write_if_unchanged_since(RegistryWrite *write, RecordKey key, const char *from,
                                       const char *until, int64_t revision) {
        WriteItem *item = write_add(write);
        Span tail;

        if (!item)
                return;

        assert(!record_key_is_complete(&key));
        *item = (WriteItem){ .is_compare = true,
                             .target = STORE_COMPARE_MOD,
                             .result = STORE_COMPARE_LESS,
                             .revision = revision + 1 };
        item->key = write_key(write, &key);
        tail = write_bytes(write, from, strlen(from));
        item->key.n_bytes += tail.n_bytes;
        item->end = write_key(write, &key);
        tail = write_bytes(write, until,
                           strlen(until) + 1); /* with its NUL: the first key behind `until` */
        item->end.n_bytes += tail.n_bytes;
        write->n_compares++;
}

static void write_put(RegistryWrite *write, RecordKey key, const void *value, size_t n_bytes,
                      int64_t lease) {
        WriteItem *item = write_add(write);

        if (!item)
                return;

        assert(record_key_is_complete(&key));
        *item = (WriteItem){ .kind = STORE_OP_PUT, .lease = lease };
        item->key = write_key(write, &key);
        item->value = write_bytes(write, value, n_bytes);
        write->n_ops++;
}

/* Puts what an encoder made; `r` is the encoder's result. */
static void write_put_json(RegistryWrite *write, RecordKey key, int r, char *json, int64_t lease) {
        if (r < 0) {
                if (write->error == 0)
                        write->error = r;
                return;
        }

        write_put(write, key, json, strlen(json), lease);
        free(json);
}

void registry_write_put_file(RegistryWrite *write, const char *hash, const char *text,
                             size_t n_bytes) {
        write_put(write, (RecordKey){ .kind = RECORD_FILE, .unit = hash }, text, n_bytes, 0);
}

void registry_write_put_unit(RegistryWrite *write, const char *unit, const UnitRecord *record) {
        char *json = NULL;
        int r = unit_record_encode(record, &json);

        write_put_json(write, (RecordKey){ .kind = RECORD_UNIT, .unit = unit }, r, json, 0);
}

void registry_write_put_metadata(RegistryWrite *write, const char *machine,
                                 const Metadata *metadata) {
        char *json = NULL;
        int r = metadata_record_encode(metadata, &json);

        write_put_json(write, (RecordKey){ .kind = RECORD_METADATA, .machine = machine }, r, json,
                       0);
}

void registry_write_put_machine(RegistryWrite *write, const char *machine,
                                const MachineRecord *record, int64_t lease) {
        char *json = NULL;
        int r = machine_record_encode(record, &json);

        write_put_json(write, (RecordKey){ .kind = RECORD_MACHINE, .machine = machine }, r, json,
                       lease);
}

void registry_write_put_schedule(RegistryWrite *write, const char *machine, const char *unit,
                                 const ScheduleRecord *record) {
        char *json = NULL;
        int r = schedule_record_encode(record, &json);

        write_put_json(write,
                       (RecordKey){ .kind = RECORD_SCHEDULE, .machine = machine, .unit = unit }, r,
                       json, 0);
}

void registry_write_put_placement(RegistryWrite *write, const char *unit,
                                  const PlacementRecord *record) {
        char *json = NULL;
        int r = placement_record_encode(record, &json);

        write_put_json(write, (RecordKey){ .kind = RECORD_PLACEMENT, .unit = unit }, r, json, 0);
}

void registry_write_put_state(RegistryWrite *write, const char *machine, const char *unit,
                              const StateRecord *record, int64_t lease) {
        char *json = NULL;
        int r = state_record_encode(record, &json);

        write_put_json(write, (RecordKey){ .kind = RECORD_STATE, .machine = machine, .unit = unit },
                       r, json, lease);
}

void registry_write_put_leader(RegistryWrite *write, const LeaderRecord *record, int64_t lease) {
        char *json = NULL;
        int r = leader_record_encode(record, &json);

        write_put_json(write, (RecordKey){ .kind = RECORD_LEADER }, r, json, lease);
}

void registry_write_put_checkup(RegistryWrite *write, const CheckupRecord *record) {
        char *json = NULL;
        int r = checkup_record_encode(record, &json);

        write_put_json(write, (RecordKey){ .kind = RECORD_CHECKUP }, r, json, 0);
}

void registry_write_put_report(RegistryWrite *write, const char *machine, const char *instance,
                               const ReportRecord *record, int64_t lease) {
        RecordKey key = { .kind = RECORD_REPORT, .machine = machine, .unit = instance };
        char *json = NULL;
        int r = report_record_encode(record, &json);

        write_put_json(write, key, r, json, lease);
}

void registry_write_put_hold(RegistryWrite *write, const char *unit, const HoldRecord *record) {
        const RecordKey keys[] = {
                { .kind = RECORD_HOLD, .unit = unit },
                { .kind = RECORD_HELD, .machine = record->machine, .unit = unit },
        };

        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                char *json = NULL;
                int r = hold_record_encode(record, &json);

                write_put_json(write, keys[i], r, json, 0);
        }
}

void registry_write_delete_hold(RegistryWrite *write, const char *unit, const char *machine) {
        registry_write_delete(write, (RecordKey){ .kind = RECORD_HOLD, .unit = unit });
        registry_write_delete(write,
                              (RecordKey){ .kind = RECORD_HELD, .machine = machine, .unit = unit });
}

void registry_write_put_brake(RegistryWrite *write, const BrakeRecord *record) {
        char *json = NULL;
        int r = brake_record_encode(record, &json);

        write_put_json(write, (RecordKey){ .kind = RECORD_BRAKE }, r, json, 0);
}

void registry_write_put_evict(RegistryWrite *write, const char *machine,
                              const EvictRecord *record) {
        char *json = NULL;
        int r = evict_record_encode(record, &json);

        write_put_json(write, (RecordKey){ .kind = RECORD_EVICT, .machine = machine }, r, json, 0);
}

void registry_write_delete(RegistryWrite *write, RecordKey key) {
        WriteItem *item = write_add(write);

        if (!item)
                return;

        assert(record_key_is_complete(&key));
        *item = (WriteItem){ .kind = STORE_OP_DELETE };
        item->key = write_key(write, &key);
        write->n_ops++;
}

void registry_write_delete_unit(RegistryWrite *write, const char *unit) {
        char slot[REMOVED_SLOT_BYTES];

        removed_slot(unit, slot);
        registry_write_delete(write, (RecordKey){ .kind = RECORD_UNIT, .unit = unit });
        write_put(write, (RecordKey){ .kind = RECORD_REMOVED, .unit = slot }, "{}", 2, 0);
}

bool registry_write_is_empty(const RegistryWrite *write) {
        return write->n_ops == 0 && write->error == 0;
}

size_t registry_write_size(const RegistryWrite *write) {
        return write->n_ops > write->n_compares ? write->n_ops : write->n_compares;
}

size_t registry_write_bytes(const RegistryWrite *write) {
        return write->bytes.n_bytes;
}

static void on_txn(StoreRequest *request, int status, const StoreReply *reply) {
        RegistryWrite *write = container_of(request, RegistryWrite, request);

        if (status == 0)
                registry_saw(write->registry, reply->revision);
        if (status == 0 && !reply->succeeded)
                write->done(write, REGISTRY_E_CONFLICT, 0);
        else
                write->done(write, registry_outcome(status), status == 0 ? reply->revision : 0);
}

static StoreBytes write_span(const RegistryWrite *write, Span span) {
        return (StoreBytes){ .data = write->bytes.data + span.offset, .n_bytes = span.n_bytes };
}

static void write_fill(const RegistryWrite *write, StoreCompare *compares, StoreOp *ops) {
        const WriteItem *items = write->items;

        for (size_t i = 0; i < write->n_items; i++) {
                const WriteItem *item = &items[i];

                if (item->is_compare)
                        *compares++ = (StoreCompare){
                                .key = write_span(write, item->key),
                                .end = write_span(write, item->end),
                                .target = item->target,
                                .result = item->result,
                                .revision = item->revision,
                        };
                else
                        *ops++ = (StoreOp){
                                .kind = item->kind,
                                .key = write_span(write, item->key),
                                .value = write_span(write, item->value),
                                .lease = item->lease,
                        };
        }
}

int registry_write_commit(RegistryWrite *write, RegistryWriteDone done) {
        _cleanup_(freep) StoreCompare *compares = NULL;
        _cleanup_(freep) StoreOp *ops = NULL;
        StoreTxn txn = { .n_compares = write->n_compares, .n_ops = write->n_ops };

        assert(write->registry);
        assert(done);

        if (write->error < 0)
                return write->error;

        compares = calloc(write->n_compares + 1, sizeof(*compares));
        ops = calloc(write->n_ops + 1, sizeof(*ops));
        if (!compares || !ops)
                return -ENOMEM;

        write_fill(write, compares, ops);
        txn.compares = compares;
        txn.ops = ops;
        write->done = done;
        return store_txn(write->registry->store, &write->request, &txn,
                         write->registry->call_timeout_us, on_txn);
}

void registry_write_cancel(RegistryWrite *write) {
        store_cancel(&write->request);
}

bool registry_write_is_pending(const RegistryWrite *write) {
        return store_request_is_pending(&write->request);
}

void registry_write_clear(RegistryWrite *write) {
        assert(!registry_write_is_pending(write));

        buf_done(&write->bytes);
        free(write->items);
        *write = (RegistryWrite){ 0 };
}
