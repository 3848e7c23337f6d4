/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The cluster's records over a store (docs/records.md): the only code that knows a key or its
 * encoding. Reads give decoded records, writes are transactions of typed operations with
 * comparisons. Requests follow the contract of lib/loop/loop.h.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/macro.h"
#include "lib/model/record-move.h"
#include "lib/model/record.h"
#include "lib/store/store.h"

typedef struct Registry Registry;

/* Documented outcomes of reads and writes. */
enum {
        _REGISTRY_E_OK,
        REGISTRY_E_CONFLICT,    /* a comparison did not hold: nothing was written; read again, then
                                   decide */
        REGISTRY_E_UNREACHABLE, /* the store cannot be reached: nothing was written */
        REGISTRY_E_UNKNOWN,   /* no answer: the change may have been made or may yet be; read again,
                                 then decide */
        REGISTRY_E_COMPACTED, /* the revision asked for is gone: begin the list anew */
        REGISTRY_E_NO_LEASE,  /* the lease of a record to write has ended: nothing was written */
        REGISTRY_E_TOO_LARGE, /* more than one transaction can hold: nothing was written */
        REGISTRY_E_REFUSED,   /* the store denies it or is full: nothing was written; a person must
                                 look */
        _REGISTRY_E_MAX,
};

/* Words for a REGISTRY_E_* or a negative errno. Static. */
const char *registry_outcome_to_string(int status);

enum {
        /* So long after a connection to the store came back every follower lists again: a watch
           that begins on a member of etcd 3.4 which is electing may be confirmed and then never
           tell anything (docs/design-notes.md). */
        REGISTRY_REFRESH_US = 5000 * US_PER_MS,
        REGISTRY_REFRESH_SPREAD_US = 2500 * US_PER_MS, /* up to so much later, by chance */
};

/* The kinds of records, in the order of their keys' first components. */
typedef enum RecordKind {
        RECORD_CHECKUP,   /* checkup/ask */
        RECORD_CLOSED,    /* closed */
        RECORD_BRAKE,     /* engine/brake */
        RECORD_LEADER,    /* engine/leader */
        RECORD_EVICT,     /* evict/<machine> */
        RECORD_FILE,      /* file/<sha1> */
        RECORD_HELD,      /* held/<machine>/<unit> */
        RECORD_HOLD,      /* hold/<unit> */
        RECORD_MACHINE,   /* machine/<machine> */
        RECORD_METADATA,  /* metadata/<machine> */
        RECORD_ORIGIN,    /* origin */
        RECORD_PLACEMENT, /* placement/<unit> */
        RECORD_REMOVED,   /* removed/<slot>, four hexadecimal digits of the names that share it */
        RECORD_REPORT,    /* report/<machine>/<lease> */
        RECORD_SCHEDULE,  /* schedule/<machine>/<unit> */
        RECORD_STATE,     /* state/<machine>/<unit> */
        RECORD_UNIT,      /* unit/<name> */
        _RECORD_KIND_MAX,
} RecordKind;

/* What a key means, or, with parts left NULL, all keys that begin so: {RECORD_SCHEDULE, machine,
 * NULL} is one machine's schedule, {RECORD_UNIT} all units. Strings borrowed. */
typedef struct RecordKey {
        RecordKind kind;
        const char
                *machine; /* for EVICT, HELD, MACHINE, METADATA, REPORT, SCHEDULE, STATE; or NULL */
        const char *unit; /* unit name; for FILE the hash, for REMOVED the slot, for REPORT the
                             lease in hexadecimal; or NULL */
} RecordKey;

/* A decoded record. Everything is borrowed until the callback that brings it returns. */
typedef struct Record {
        RecordKey key;
        bool is_deleted; /* a watch saw it go: only key and mod_revision are set */
        bool is_bad;     /* the value does not parse: `why_bad` says how; the union is zeroed. Leave
                            alone what it governs */
        const char *why_bad;
        int64_t create_revision;
        int64_t mod_revision;
        int64_t lease;
        const char *text; /* FILE: the canonical text, not NUL-terminated; for every kind, the raw
                             value */
        size_t n_text_bytes;
        union {
                UnitRecord unit;
                MachineRecord machine;
                Metadata metadata;
                ScheduleRecord schedule;
                PlacementRecord placement;
                StateRecord state;
                LeaderRecord leader;
                CheckupRecord checkup;
                ReportRecord report;
                HoldRecord hold; /* HELD, HOLD */
                BrakeRecord brake;
                EvictRecord evict;
                ClosedRecord closed;
                OriginRecord origin;
        };
} Record;

/* Make a registry over a store (borrowed, must outlive it). `prefix` is the key prefix; a missing
 * slash at its end is added. Returns 0, -ENOMEM, or -ENOBUFS for more than 256 bytes with it. */
int registry_new(Registry **ret_registry, Store *store, Loop *loop, const char *prefix);

/* Free it; nothing may be in flight. Takes NULL; returns NULL. */
Registry *registry_free(Registry *registry);
DEFINE_CLEANUP(Registry, registry_free)

/* How long a read or write may take from now on; STORE_CALL_TIMEOUT_US at first. The lists of
 * followers have the time that they need, and leases have their own. */
void registry_set_call_timeout(Registry *registry, uint64_t timeout_us);

/* Have every follower list again each `interval_us`, in place of watching; 0, as at first, has them
 * watch. They begin anew when this changes. */
void registry_set_polling(Registry *registry, uint64_t interval_us);

/* The store has told this revision, in an answer that did not come by way of the registry. A store
 * that is behind the newest one was set back (RegistryFollowFns.on_set_back). */
void registry_note_revision(Registry *registry, int64_t revision);

/* How far the store's revision is behind those of the stores that the records were in before (the
 * record `origin`); 0 unless they were moved. What must grow over a move, as generations, is counted
 * from the sum of this and the revision. */
int64_t registry_base(const Registry *registry);

/* Who has read `origin` tells it. */
void registry_set_base(Registry *registry, int64_t base);

/* The store below, for leases and its state. Borrowed. */
Store *registry_store(const Registry *registry);

/* The loop it lives on. Borrowed. */
Loop *registry_loop(const Registry *registry);

/* Be told, from the loop, of each record that does not parse, once per revision of it: for the log.
 * Of many 128 are told in ten minutes. `key` is the full key, printable. */
void registry_set_bad_record_fn(Registry *registry,
                                void (*fn)(const char *key, const char *why, void *userdata),
                                void *userdata);

/* Reading */

typedef struct RegistryRead RegistryRead;

/* What to read. */
typedef struct RegistryRange {
        RecordKey key;     /* one record, or the first parts of many */
        const char *after; /* with an incomplete key: begin behind this last part (unit name,
                              machine or hash); NULL = from the start */
        const char *until; /* with an incomplete key: end with this last part, inclusive; NULL = to
                              the end */
        int64_t revision;  /* 0 = now */
        int64_t limit;     /* 0 = all */
        bool keys_only;    /* values are not fetched and not decoded */
} RegistryRange;

/* What came. */
typedef struct RegistryPage {
        const Record *records; /* in order of their keys; borrowed */
        size_t n_records;
        int64_t revision;    /* at which it was read: continue there */
        bool more;           /* the limit cut it */
        size_t n_foreign;    /* keys in between that are none of ours */
        const char *foreign; /* the first of them, printable; borrowed; NULL = there is none */
} RegistryPage;

/* Ends a read: `page` is not NULL exactly when status is 0. */
typedef void (*RegistryReadDone)(RegistryRead *read, int status, const RegistryPage *page);

/* A read; embed it, zero it before the first use. */
struct RegistryRead {
        StoreRequest request;
        Registry *registry; /* borrowed; NULL while idle */
        RegistryReadDone done;
        char *end; /* owned; where the range ends, while it has a limit; or NULL */
        size_t n_end_bytes;
        char *foreign; /* owned; of the page */
        size_t n_foreign;
        int64_t revision; /* asked for, or at which the first part was read */
        int64_t limit;
        bool keys_only;
};

/* Read records, without cost for what is outside the range. A page that there is more behind has one
 * record at least: where the limit was reached by keys that are none of ours, it goes on behind them.
 * Returns 0, -ENOMEM, -ESHUTDOWN when the store is closing, or -ENOBUFS for a key that is too long to
 * exist. */
int registry_read(Registry *registry, RegistryRead *read, const RegistryRange *range,
                  RegistryReadDone done);

/* Give up; the callback runs with -ECANCELED. */
void registry_read_cancel(RegistryRead *read);

/* Is it in flight? */
bool registry_read_is_pending(const RegistryRead *read);
