/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Writing records: a transaction of comparisons and operations, made step by step and committed at
 * once. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/registry/registry.h"

typedef struct RegistryWrite RegistryWrite;

/* Ends a write. `revision` is the commit's, 0 unless status is 0. The write keeps its operations
 * until registry_write_clear(). */
typedef void (*RegistryWriteDone)(RegistryWrite *write, int status, int64_t revision);

/* A transaction being made or in flight; embed it, zero it before the first use. */
struct RegistryWrite {
        StoreRequest request;
        Registry *registry; /* borrowed; NULL before registry_write_begin() */
        RegistryWriteDone done;
        Buf bytes;   /* keys and values, referred to by offset until the commit */
        void *items; /* owned array of comparisons and operations */
        size_t n_items;
        size_t n_items_allocated;
        size_t n_compares;
        size_t n_ops;
        int error; /* first error while it was built; told by registry_write_commit() */
};

/* Begin a transaction: empty, ready for the calls below. What was in it is dropped. */
void registry_write_begin(RegistryWrite *write, Registry *registry);

/* Comparisons. The write is refused with REGISTRY_E_CONFLICT unless all hold. */
/* The record does not exist. */
void registry_write_if_absent(RegistryWrite *write, RecordKey key);
/* The record exists. */
void registry_write_if_present(RegistryWrite *write, RecordKey key);
/* The record was created by the commit `revision` and has existed since: the fence of an engine,
 * with RECORD_LEADER. */
void registry_write_if_created_at(RegistryWrite *write, RecordKey key, int64_t revision);
/* The record was last changed by the commit `revision`; 0 = it does not exist. */
void registry_write_if_modified_at(RegistryWrite *write, RecordKey key, int64_t revision);
/* No record under this incomplete key, between `from` and `until` inclusive (last parts), was
 * changed after `revision`. */
void registry_write_if_unchanged_since(RegistryWrite *write, RecordKey key, const char *from,
                                       const char *until, int64_t revision);

/* The unit (NULL: any unit) was not removed after `revision`: with registry_write_if_absent() what
 * turns a late copy of a creation into nothing when the unit was made and destroyed meanwhile. The
 * removal of another unit with the same slot counts, too, one in 65,536: read again, as after
 * every conflict. */
void registry_write_if_not_removed_since(RegistryWrite *write, const char *unit, int64_t revision);

/* Nobody moves the records to another store, or from one (the record `closed`). What writes records
 * that last compares it, since after a move it would be lost. */
void registry_write_if_open(RegistryWrite *write);

/* Operations. Errors (-ENOMEM, -ENOBUFS for more bytes than any store takes, -ERANGE for a number
 * that JSON cannot hold) are kept and told by the commit. `lease` 0 = none. */
void registry_write_put_file(RegistryWrite *write, const char *hash, const char *text,
                             size_t n_bytes);
void registry_write_put_unit(RegistryWrite *write, const char *unit, const UnitRecord *record);
void registry_write_put_metadata(RegistryWrite *write, const char *machine,
                                 const Metadata *metadata);
void registry_write_put_machine(RegistryWrite *write, const char *machine,
                                const MachineRecord *record, int64_t lease);
void registry_write_put_schedule(RegistryWrite *write, const char *machine, const char *unit,
                                 const ScheduleRecord *record);
void registry_write_put_placement(RegistryWrite *write, const char *unit,
                                  const PlacementRecord *record);
void registry_write_put_state(RegistryWrite *write, const char *machine, const char *unit,
                              const StateRecord *record, int64_t lease);
void registry_write_put_leader(RegistryWrite *write, const LeaderRecord *record, int64_t lease);
void registry_write_put_checkup(RegistryWrite *write, const CheckupRecord *record);
void registry_write_put_report(RegistryWrite *write, const char *machine, const char *instance,
                               const ReportRecord *record, int64_t lease);
/* Both records of a hold, hold/ and held/; and their removal. */
void registry_write_put_hold(RegistryWrite *write, const char *unit, const HoldRecord *record);
void registry_write_delete_hold(RegistryWrite *write, const char *unit, const char *machine);
void registry_write_put_brake(RegistryWrite *write, const BrakeRecord *record);
void registry_write_put_evict(RegistryWrite *write, const char *machine, const EvictRecord *record);
/* Remove one record. */
void registry_write_delete(RegistryWrite *write, RecordKey key);
/* Remove a unit, and note that one was removed (removed/<slot>). */
void registry_write_delete_unit(RegistryWrite *write, const char *unit);

/* Is there nothing to write? Not so where something could not be added: to commit tells that. */
bool registry_write_is_empty(const RegistryWrite *write);

/* How many comparisons and operations it holds: the larger of the two counts. STORE_TXN_OPS_MAX is
 * a good size to commit at. */
size_t registry_write_size(const RegistryWrite *write);

/* How many bytes of keys and values it holds; STORE_REQUEST_MAX_BYTES is the limit. */
size_t registry_write_bytes(const RegistryWrite *write);

/* Commit. Returns 0 (started), -ENOMEM, -ESHUTDOWN when the store is closing, -E2BIG for more
 * operations than the store takes at once (store_txn()), or the first error of its building; then
 * it never started. */
int registry_write_commit(RegistryWrite *write, RegistryWriteDone done);

/* Give up waiting; the callback runs with -ECANCELED, the change may be made all the same. */
void registry_write_cancel(RegistryWrite *write);

/* Is it in flight? */
bool registry_write_is_pending(const RegistryWrite *write);

/* Free its memory; not while in flight. */
void registry_write_clear(RegistryWrite *write);
