/* SPDX-License-Identifier: Apache-2.0 */

/* Copying a cluster's records.
 *
 *     target: closed, emptied   source: closed    target: records, origin   source: looked at again
 *     --> (one transaction) --> (only to move) --> (pages, transactions) --> target: counted, opened
 *
 * Every transaction into the target compares that it is still closed by this copy. So one that
 * arrives late, when the target is open and in use, changes nothing; and none is lost, since one
 * whose outcome is unknown is made again.
 *
 * What hangs on a lease is left out, but for a move: then what machines report of themselves is
 * taken along on leases of the same numbers. What concerns one store alone is left out always.
 */

#include "lib/registry/copy.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "lib/registry/copy-side.h"
#include "lib/registry/key.h"

enum {
        PAGE_KEYS = 1000,
        PAGE_MAX_BYTES = 256 * 1024 * 1024,
        CHUNK_OPS = 100,
        CHUNK_BYTES = 1000 * 1000,
};

/* A record on its way. */
typedef struct Row {
        size_t key, n_key_bytes; /* in Load.bytes */
        size_t value, n_value_bytes;
        int64_t lease;
} Row;

typedef struct Load {
        Row rows[PAGE_KEYS];
        size_t n_rows;
        Buf bytes;
        Buf next; /* where the next one begins */
} Load;

/* What a key is, as far as a copy goes. */
typedef enum Class {
        CLASS_LASTING, /* copied */
        CLASS_MACHINE, /* copied by a move, if on a lease */
        CLASS_STATE,
        CLASS_LOCAL, /* of this store: not copied */
} Class;

typedef struct Copy {
        const RegistryCopyOptions *options;
        CopySide from, to;
        RegistryCopyReport report;
        Load *load;      /* owned */
        int64_t *leases; /* owned: those that the target has */
        size_t n_leases;
        int64_t base;       /* of the source's generations */
        size_t n_lasting;   /* looking again: how many there are... */
        int64_t last;       /* ...and when the last of them changed */
        size_t n_in_target; /* counting */
} Copy;

/* What is copied */

static bool key_is(const CopySide *side, RecordKey key, const StoreBytes *bytes) {
        Buf encoded = buf_make(REGISTRY_KEY_MAX_BYTES);
        bool is = record_key_encode(side->registry, &key, &encoded) == 0 &&
                  bytes->n_bytes >= encoded.n_bytes &&
                  (record_key_is_complete(&key) ? bytes->n_bytes == encoded.n_bytes : true) &&
                  memcmp(bytes->data, encoded.data, encoded.n_bytes) == 0;

        buf_done(&encoded);
        return is;
}

static Class classify(const CopySide *side, const StoreKv *kv) {
        static const RecordKey local[] = { { .kind = RECORD_CLOSED },
                                           { .kind = RECORD_ORIGIN },
                                           { .kind = RECORD_LEADER },
                                           { .kind = RECORD_CHECKUP },
                                           { .kind = RECORD_REPORT } };

        for (size_t i = 0; i < ELEMENTSOF(local); i++)
                if (key_is(side, local[i], &kv->key))
                        return CLASS_LOCAL;
        if (kv->lease == 0)
                return CLASS_LASTING;
        if (key_is(side, (RecordKey){ .kind = RECORD_MACHINE }, &kv->key))
                return CLASS_MACHINE;
        if (key_is(side, (RecordKey){ .kind = RECORD_STATE }, &kv->key))
                return CLASS_STATE;
        return CLASS_LOCAL;
}

/* Takes a part of a list; from where it ended the next goes on. */
static int note_next(Buf *next, const StoreReply *reply) {
        const StoreBytes *last;
        int r;

        /* More behind nothing: no store says that. */
        if (reply->n_kvs == 0)
                return -EBADMSG;

        last = &reply->kvs[reply->n_kvs - 1].key;
        buf_clear(next);
        r = buf_append(next, last->data, last->n_bytes);
        return r < 0 ? r : buf_append(next, "", 1);
}

/* Calls `take` for each page of the keys below the prefix, as of `revision`. Returns 0 or a negative
 * errno with a message. */
static int side_list(CopySide *side, int64_t revision, bool keys_only,
                     int (*take)(void *userdata, const StoreReply *reply),
                     int (*then)(Copy *copy, Diag *diag), Copy *copy, Diag *diag) {
        StoreRange range = { .end = copy_bytes_of(&side->end),
                             .revision = revision,
                             .limit = PAGE_KEYS,
                             .keys_only = keys_only };
        Buf *next = &copy->load->next;
        bool more = true;
        int r;

        buf_clear(next);
        r = buf_append(next, side->first.data, side->first.n_bytes);
        while (r == 0 && more) {
                range.key = copy_bytes_of(next);
                r = copy_side_range(side, &range, take, copy, &more, diag);
                if (r == 0 && then)
                        r = then(copy, diag);
        }
        return r;
}

/* Beginning */

static int machines_range(const CopySide *side, Buf *key, Buf *end) {
        const RecordKey machines = { .kind = RECORD_MACHINE };
        int r = record_key_encode(side->registry, &machines, key);

        return r < 0 ? r : record_key_end(key, end);
}

static int refuse_full(const CopySide *to, Diag *diag) {
        if (to->closed_at == 0)
                return diag_set(diag, -EEXIST,
                                "%s has records already; --replace removes them first", to->name);
        return diag_set(
                diag, -EEXIST,
                "%s is closed (%s): a copy into it broke off, or its records were moved away; "
                "--replace removes what is there and begins anew",
                to->name, to->why_closed);
}

/* May the target be written to? */
static int check_target(Copy *copy, Diag *diag) {
        Buf key = buf_make(REGISTRY_KEY_MAX_BYTES), end = buf_make(REGISTRY_KEY_MAX_BYTES);
        CopySide *to = &copy->to;
        bool has = false;
        int r;

        r = copy_side_look(to, diag);
        if (r == 0)
                r = copy_side_has(to, copy_bytes_of(&to->first), copy_bytes_of(&to->end), &has,
                                  diag);
        if (r == 0 && has && !copy->options->replaces)
                r = refuse_full(to, diag);
        if (r == 0 && has && to->closed_at == 0) {
                r = machines_range(to, &key, &end);
                if (r == 0)
                        r = copy_side_has(to, copy_bytes_of(&key), copy_bytes_of(&end), &has, diag);
                if (r == 0 && has)
                        r = diag_set(diag, -EBUSY,
                                     "machines are members of the cluster whose records are in %s: "
                                     "nothing is removed there while they are",
                                     to->name);
        }
        buf_done(&key);
        buf_done(&end);
        return r;
}

/* Closes the target, and removes what it has. */
static int close_target(Copy *copy, Diag *diag) {
        CopySide *to = &copy->to;
        _cleanup_(freep) char *why = NULL;
        Buf behind = buf_make(REGISTRY_KEY_MAX_BYTES);
        const StoreCompare compares[] = {
                { .key = copy_bytes_of(&to->first), .end = copy_bytes_of(&to->end) },
                copy_still_closed(to),
        };
        StoreOp ops[3];
        StoreTxn txn = { .compares = &compares[copy->options->replaces ? 1 : 0], .n_compares = 1 };
        int r;

        if (asprintf(&why, "records are being copied here from %s, by %s", copy->from.name,
                     copy->options->copier) < 0)
                return -ENOMEM;
        r = buf_append(&behind, to->closed.data, to->closed.n_bytes);
        if (r == 0)
                r = buf_append(&behind, "", 1);
        if (r == 0) {
                ops[1] = (StoreOp){ .kind = STORE_OP_DELETE,
                                    .key = copy_bytes_of(&to->first),
                                    .end = copy_bytes_of(&to->closed) };
                ops[2] = (StoreOp){ .kind = STORE_OP_DELETE,
                                    .key = copy_bytes_of(&behind),
                                    .end = copy_bytes_of(&to->end) };
                txn.n_ops = copy->options->replaces ? ELEMENTSOF(ops) : 1;
                r = copy_side_close(to, &txn, ops, why, diag);
        }
        if (r == -EAGAIN)
                r = diag_set(diag, -EBUSY, "somebody else changes the records in %s", to->name);
        buf_done(&behind);
        return r;
}

/* Closes the source, and ends its leader's right to write. */
static int close_source(Copy *copy, Diag *diag) {
        const RecordKey leader = { .kind = RECORD_LEADER };
        CopySide *from = &copy->from;
        _cleanup_(freep) char *why = NULL;
        Buf key = buf_make(REGISTRY_KEY_MAX_BYTES);
        const StoreCompare compare = copy_still_closed(from);
        StoreOp ops[2];
        StoreTxn txn = { .compares = &compare, .n_compares = 1, .n_ops = ELEMENTSOF(ops) };
        int r;

        if (asprintf(&why, "its records are in %s now, or on their way there, copied by %s",
                     copy->to.name, copy->options->copier) < 0)
                return -ENOMEM;
        r = record_key_encode(from->registry, &leader, &key);
        if (r == 0) {
                ops[1] = (StoreOp){ .kind = STORE_OP_DELETE, .key = copy_bytes_of(&key) };
                r = copy_side_close(from, &txn, ops, why, diag);
        }
        if (r == -EAGAIN)
                r = diag_set(diag, -EBUSY, "somebody else opens or closes %s", from->name);
        buf_done(&key);
        return r;
}

/* Copying */

static int take_base(void *userdata, const StoreReply *reply) {
        _cleanup_(freep) char *strings = NULL;
        Copy *copy = userdata;
        Record record;
        int r;

        copy->report.revision = reply->revision;
        if (reply->n_kvs == 0)
                return 0;

        r = record_decode(copy->from.registry, reply->kvs, false, false, &record, &strings);
        if (r == 0 && record.is_bad)
                r = -EBADMSG;
        if (r == 0)
                copy->base = (int64_t)record.origin.revision;
        return r;
}

/* Of which revision the copy is, and where the source's own records came from. */
static int look_at_source(Copy *copy, Diag *diag) {
        const RecordKey origin = { .kind = RECORD_ORIGIN };
        CopySide *from = &copy->from;
        Buf key = buf_make(REGISTRY_KEY_MAX_BYTES);
        StoreRange range = { 0 };
        int r;

        r = record_key_encode(from->registry, &origin, &key);
        if (r == 0) {
                range.key = copy_bytes_of(&key);
                r = copy_side_range(from, &range, take_base, copy, NULL, diag);
        }
        /* A store that is closed may go on changing where nobody is told. */
        if (r == 0 && copy->options->moves)
                copy->report.revision = from->closed_at;
        buf_done(&key);
        return r;
}

static int page_add(Load *load, const StoreKv *kv) {
        Row row = { .key = load->bytes.n_bytes,
                    .n_key_bytes = kv->key.n_bytes,
                    .n_value_bytes = kv->value.n_bytes,
                    .lease = kv->lease };
        int r;

        assert(load->n_rows < PAGE_KEYS);

        r = buf_append(&load->bytes, kv->key.data, kv->key.n_bytes);
        row.value = load->bytes.n_bytes;
        if (r == 0)
                r = buf_append(&load->bytes, kv->value.data, kv->value.n_bytes);
        if (r == 0)
                load->rows[load->n_rows++] = row;
        return r;
}

/* Keeps what of a page is to be copied. */
static int take_page(void *userdata, const StoreReply *reply) {
        Copy *copy = userdata;
        Load *load = copy->load;
        int r = 0;

        load->n_rows = 0;
        buf_clear(&load->bytes);
        for (size_t i = 0; r == 0 && i < reply->n_kvs; i++) {
                Class class = classify(&copy->from, &reply->kvs[i]);

                if (class == CLASS_LOCAL || (class != CLASS_LASTING && !copy->options->moves))
                        continue;
                copy->report.n_records += class == CLASS_LASTING;
                copy->report.n_machines += class == CLASS_MACHINE;
                copy->report.n_states += class == CLASS_STATE;
                r = page_add(load, &reply->kvs[i]);
        }
        if (r == 0 && reply->more)
                r = note_next(&load->next, reply);
        return r;
}

static int need_lease(Copy *copy, int64_t lease, Diag *diag) {
        int64_t *leases;
        int r;

        for (size_t i = copy->n_leases; i > 0; i--)
                if (copy->leases[i - 1] == lease)
                        return 0;

        leases = realloc(copy->leases, (copy->n_leases + 1) * sizeof(*leases));
        if (!leases)
                return -ENOMEM;
        copy->leases = leases;
        r = copy_side_grant(&copy->to, lease, REGISTRY_COPY_LEASE_S, diag);
        if (r == 0)
                copy->leases[copy->n_leases++] = lease;
        return r;
}

/* Makes a transaction into the target until it is known to have been made. */
static int write_target(Copy *copy, const StoreOp *ops, size_t n_ops, Diag *diag) {
        const StoreCompare compare = copy_still_closed(&copy->to);
        const StoreTxn txn = { .compares = &compare, .n_compares = 1, .ops = ops, .n_ops = n_ops };
        bool is_made = false;
        int r = copy_side_write(&copy->to, &txn, &is_made, diag);

        if (r < 0)
                return r;
        return is_made ? 0
                       : diag_set(diag, -EBUSY, "somebody else opened %s, or copies into it",
                                  copy->to.name);
}

/* Writes the page that was read. */
static int write_page(Copy *copy, Diag *diag) {
        const Load *load = copy->load;
        StoreOp ops[CHUNK_OPS];
        size_t n_ops = 0, n_bytes = 0;
        int r = 0;

        for (size_t i = 0; i < load->n_rows; i++) {
                const Row *row = &load->rows[i];

                if (row->lease != 0)
                        r = need_lease(copy, row->lease, diag);
                if (r == 0 && n_ops > 0 &&
                    (n_ops == CHUNK_OPS || n_bytes + row->n_value_bytes > CHUNK_BYTES)) {
                        r = write_target(copy, ops, n_ops, diag);
                        n_ops = n_bytes = 0;
                }
                if (r < 0)
                        return r;
                ops[n_ops++] = (StoreOp){
                        .key = { load->bytes.data + row->key, row->n_key_bytes },
                        .value = { load->bytes.data + row->value, row->n_value_bytes },
                        .lease = row->lease,
                };
                n_bytes += row->n_key_bytes + row->n_value_bytes;
        }
        return n_ops > 0 ? write_target(copy, ops, n_ops, diag) : 0;
}

static int write_origin(Copy *copy, Diag *diag) {
        const OriginRecord origin = { .revision = (uint64_t)(copy->base + copy->report.revision) };
        const RecordKey key = { .kind = RECORD_ORIGIN };
        Buf encoded = buf_make(REGISTRY_KEY_MAX_BYTES);
        _cleanup_(freep) char *json = NULL;
        StoreOp op = { 0 };
        int r;

        r = record_key_encode(copy->to.registry, &key, &encoded);
        if (r == 0)
                r = origin_record_encode(&origin, &json);
        if (r == 0) {
                op.key = copy_bytes_of(&encoded);
                op.value = store_bytes(json);
                r = write_target(copy, &op, 1, diag);
        }
        buf_done(&encoded);
        return r;
}

/* Ending */

static int take_count(void *userdata, const StoreReply *reply) {
        Copy *copy = userdata;

        copy->n_in_target += reply->n_kvs;
        return reply->more ? note_next(&copy->load->next, reply) : 0;
}

/* Is all of it there, and nothing else? `closed` and `origin` are. */
static int count_target(Copy *copy, Diag *diag) {
        const RegistryCopyReport *report = &copy->report;
        size_t expected = report->n_records + report->n_machines + report->n_states + 2;
        int r;

        r = side_list(&copy->to, 0, true, take_count, NULL, copy, diag);
        if (r < 0)
                return r;
        return copy->n_in_target == expected
                       ? 0
                       : diag_set(diag, -EIO, "%s has %zu records now, where %zu were to be",
                                  copy->to.name, copy->n_in_target, expected);
}

static int take_changes(void *userdata, const StoreReply *reply) {
        Copy *copy = userdata;

        for (size_t i = 0; i < reply->n_kvs; i++) {
                if (classify(&copy->from, &reply->kvs[i]) != CLASS_LASTING)
                        continue;
                copy->n_lasting++;
                if (copy->last < reply->kvs[i].mod_revision)
                        copy->last = reply->kvs[i].mod_revision;
        }
        return reply->more ? note_next(&copy->load->next, reply) : 0;
}

/* Does the source still have what was copied? Returns 0, REGISTRY_COPY_E_CHANGED or a negative
 * errno. */
static int look_again(Copy *copy, Diag *diag) {
        int r;

        copy->n_lasting = 0;
        copy->last = 0;
        r = side_list(&copy->from, 0, true, take_changes, NULL, copy, diag);
        if (r < 0)
                return r;
        if (copy->n_lasting == copy->report.n_records && copy->last <= copy->report.revision)
                return 0;
        diag_set(diag, 0,
                 "the records in %s have changed since revision %" PRId64
                 ", of which the copy is; what changed is not in %s",
                 copy->from.name, copy->report.revision, copy->to.name);
        return REGISTRY_COPY_E_CHANGED;
}

/* From where the target is closed to where it is open. */
static int copy_records(Copy *copy, Diag *diag) {
        bool is_changed;
        int r;

        r = look_at_source(copy, diag);
        if (r == 0)
                r = side_list(&copy->from, copy->report.revision, false, take_page, write_page,
                              copy, diag);
        if (r == 0)
                r = write_origin(copy, diag);
        if (r == 0)
                r = count_target(copy, diag);
        if (r < 0)
                return r;

        r = look_again(copy, diag);
        is_changed = r == REGISTRY_COPY_E_CHANGED;
        if (is_changed && copy->options->moves)
                return diag_wrap(diag, -EIO, "somebody writes although the store is closed");
        if (r < 0)
                return r;
        r = copy_side_open(&copy->to, diag);
        return r == 0 && is_changed ? REGISTRY_COPY_E_CHANGED : r;
}

static int copy_moving(Copy *copy, Diag *diag) {
        Diag trouble = { 0 };
        int r;

        r = close_source(copy, diag);
        if (r < 0)
                return r;
        r = copy_records(copy, diag);
        if (r == 0)
                return 0;
        if (copy_side_open(&copy->from, &trouble) < 0)
                diag_wrap(diag, r, "%s stays closed (%s)", copy->from.name, trouble.message);
        return r;
}

static int check_source(Copy *copy, Diag *diag) {
        CopySide *from = &copy->from;
        int r = copy_side_look(from, diag);

        if (r == 0 && from->closed_at > 0 && !copy->options->replaces)
                r = diag_set(diag, -EBUSY,
                             "%s is closed: %s. If a copy broke off, repeat it with --replace",
                             from->name, from->why_closed);
        return r;
}

static int copy_all(Copy *copy, Diag *diag) {
        int r = check_source(copy, diag);

        if (r == 0)
                r = check_target(copy, diag);
        if (r == 0)
                r = close_target(copy, diag);
        if (r < 0)
                return r;
        return copy->options->moves ? copy_moving(copy, diag) : copy_records(copy, diag);
}

static void copy_done(Copy *copy) {
        copy_side_done(&copy->from);
        copy_side_done(&copy->to);
        free(copy->leases);
        if (copy->load) {
                buf_done(&copy->load->bytes);
                buf_done(&copy->load->next);
        }
        free(copy->load);
}

/* What has no message of its own. */
static int explain(int r, Diag *diag) {
        if (r < 0 && diag && !diag->message[0])
                diag_set(diag, r, "%s", store_outcome_to_string(r));
        return r;
}

int registry_copy(Loop *loop, Store *from, Store *to, const RegistryCopyOptions *options,
                  RegistryCopyReport *ret_report, Diag *diag) {
        Copy copy = { .options = options };
        int r;

        r = copy_side_init(&copy.from, loop, from, options->from_name, options->prefix);
        if (r == 0)
                r = copy_side_init(&copy.to, loop, to, options->to_name, options->prefix);
        copy.load = calloc(1, sizeof(*copy.load));
        if (!copy.load)
                r = -ENOMEM;
        if (r == 0) {
                copy.load->bytes = buf_make(PAGE_MAX_BYTES);
                copy.load->next = buf_make(REGISTRY_KEY_MAX_BYTES);
                r = copy_all(&copy, diag);
        }
        if (r >= 0)
                *ret_report = copy.report;
        copy_done(&copy);
        return explain(r, diag);
}

int registry_open_store(Loop *loop, Store *store, const char *prefix, const char *name,
                        Diag *diag) {
        CopySide side;
        int r;

        r = copy_side_init(&side, loop, store, name, prefix);
        if (r == 0)
                r = copy_side_look(&side, diag);
        if (r == 0)
                r = side.closed_at > 0 ? copy_side_open(&side, diag)
                                       : diag_set(diag, -ENOENT, "%s is open", name);
        copy_side_done(&side);
        return explain(r, diag);
}
