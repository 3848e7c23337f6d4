/* SPDX-License-Identifier: Apache-2.0 */

/* Keys and values of records.
 *
 * A key is the prefix, the kind's word, and one or two parts without slashes. A table says which
 * parts a kind has and how its value is decoded. What is found in the store may have been written
 * by anything: a key that is none of ours, or a value that does not parse, is told once and then
 * left alone; it never stops the others.
 */

#include "lib/registry/key.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "lib/unit/unit-name.h"

static int decode_file(const StoreKv *kv, Record *record, Diag *diag) {
        char hash[UNIT_HASH_BYTES];

        unit_text_hash(kv->value.data, kv->value.n_bytes, hash);
        if (!streq(hash, record->key.unit))
                return diag_set(diag, -EBADMSG, "the content has the hash %s", hash);
        return 0;
}

static int decode_unit(const StoreKv *kv, Record *record, Diag *diag) {
        return unit_record_decode(kv->value.data, kv->value.n_bytes, &record->unit, diag);
}

static int decode_machine(const StoreKv *kv, Record *record, Diag *diag) {
        return machine_record_decode(kv->value.data, kv->value.n_bytes, &record->machine, diag);
}

static int decode_metadata(const StoreKv *kv, Record *record, Diag *diag) {
        return metadata_record_decode(kv->value.data, kv->value.n_bytes, &record->metadata, diag);
}

static int decode_schedule(const StoreKv *kv, Record *record, Diag *diag) {
        return schedule_record_decode(kv->value.data, kv->value.n_bytes, &record->schedule, diag);
}

static int decode_placement(const StoreKv *kv, Record *record, Diag *diag) {
        return placement_record_decode(kv->value.data, kv->value.n_bytes, &record->placement, diag);
}

static int decode_state(const StoreKv *kv, Record *record, Diag *diag) {
        return state_record_decode(kv->value.data, kv->value.n_bytes, &record->state, diag);
}

static int decode_hold(const StoreKv *kv, Record *record, Diag *diag) {
        return hold_record_decode(kv->value.data, kv->value.n_bytes, &record->hold, diag);
}

static int decode_leader(const StoreKv *kv, Record *record, Diag *diag) {
        return leader_record_decode(kv->value.data, kv->value.n_bytes, &record->leader, diag);
}

/* That it was written, and when, is all there is to it. */
static int decode_removed(const StoreKv *kv, Record *record, Diag *diag) {
        (void)kv;
        (void)record;
        (void)diag;
        return 0;
}

static int decode_checkup(const StoreKv *kv, Record *record, Diag *diag) {
        return checkup_record_decode(kv->value.data, kv->value.n_bytes, &record->checkup, diag);
}

static int decode_report(const StoreKv *kv, Record *record, Diag *diag) {
        return report_record_decode(kv->value.data, kv->value.n_bytes, &record->report, diag);
}

static int decode_brake(const StoreKv *kv, Record *record, Diag *diag) {
        return brake_record_decode(kv->value.data, kv->value.n_bytes, &record->brake, diag);
}

static int decode_evict(const StoreKv *kv, Record *record, Diag *diag) {
        return evict_record_decode(kv->value.data, kv->value.n_bytes, &record->evict, diag);
}

static int decode_closed(const StoreKv *kv, Record *record, Diag *diag) {
        return closed_record_decode(kv->value.data, kv->value.n_bytes, &record->closed, diag);
}

static int decode_origin(const StoreKv *kv, Record *record, Diag *diag) {
        return origin_record_decode(kv->value.data, kv->value.n_bytes, &record->origin, diag);
}

typedef struct RecordFormat {
        const char *word; /* first component of the key */
        bool has_machine;
        bool has_unit;
        int (*decode)(const StoreKv *kv, Record *record, Diag *diag);
} RecordFormat;

static const RecordFormat formats[_RECORD_KIND_MAX] = {
        [RECORD_CHECKUP] = { "checkup/ask", false, false, decode_checkup },
        [RECORD_CLOSED] = { "closed", false, false, decode_closed },
        [RECORD_BRAKE] = { "engine/brake", false, false, decode_brake },
        [RECORD_EVICT] = { "evict/", true, false, decode_evict },
        [RECORD_LEADER] = { "engine/leader", false, false, decode_leader },
        [RECORD_FILE] = { "file/", false, true, decode_file },
        [RECORD_HELD] = { "held/", true, true, decode_hold },
        [RECORD_HOLD] = { "hold/", false, true, decode_hold },
        [RECORD_MACHINE] = { "machine/", true, false, decode_machine },
        [RECORD_METADATA] = { "metadata/", true, false, decode_metadata },
        [RECORD_ORIGIN] = { "origin", false, false, decode_origin },
        [RECORD_PLACEMENT] = { "placement/", false, true, decode_placement },
        [RECORD_REMOVED] = { "removed/", false, true, decode_removed },
        [RECORD_REPORT] = { "report/", true, true, decode_report },
        [RECORD_SCHEDULE] = { "schedule/", true, true, decode_schedule },
        [RECORD_STATE] = { "state/", true, true, decode_state },
        [RECORD_UNIT] = { "unit/", false, true, decode_unit },
};

bool record_key_is_complete(const RecordKey *key) {
        const RecordFormat *format = &formats[key->kind];

        return (!format->has_machine || key->machine) && (!format->has_unit || key->unit);
}

int record_key_encode(const Registry *registry, const RecordKey *key, Buf *out) {
        const RecordFormat *format = &formats[key->kind];

        assert(key->kind < _RECORD_KIND_MAX);

        if (format->has_machine && format->has_unit)
                return buf_printf(out, "%s%s%s%s%s", registry->prefix, format->word,
                                  key->machine ? key->machine : "", key->machine ? "/" : "",
                                  key->machine && key->unit ? key->unit : "");
        if (format->has_machine)
                return buf_printf(out, "%s%s%s", registry->prefix, format->word,
                                  key->machine ? key->machine : "");
        return buf_printf(out, "%s%s%s", registry->prefix, format->word,
                          format->has_unit && key->unit ? key->unit : "");
}

int record_key_end(const Buf *prefix, Buf *out) {
        int r;

        assert(prefix->n_bytes > 0);

        r = buf_append(out, prefix->data, prefix->n_bytes);
        if (r < 0)
                return r;

        /* An incomplete key ends in a slash, so the last byte can always be raised. */
        out->data[out->n_bytes - 1]++;
        return 0;
}

static uint64_t digest_bad(const char *key, int64_t revision) {
        uint64_t digest = (uint64_t)revision * UINT64_C(0x9e3779b97f4a7c15);

        for (; *key; key++)
                digest = (digest ^ (unsigned char)*key) * UINT64_C(0x100000001b3);
        return digest ? digest : 1;
}

static void make_printable(char *text) {
        for (; *text; text++)
                if ((unsigned char)*text < ' ' || (unsigned char)*text >= 0x7f)
                        *text = '?';
}

char *record_key_printable(const StoreBytes *key) {
        char *text = strndup(key->data, key->n_bytes);

        if (text)
                make_printable(text);
        return text;
}

/* Tells it, unless it was told before, or too many were lately. Makes the key printable. */
static void registry_tell_bad(Registry *registry, char *key, int64_t revision, const char *why) {
        uint64_t digest = digest_bad(key, revision), now_us = loop_now_us(registry->loop);
        size_t slot = registry->n_told % REGISTRY_N_TOLD;

        for (size_t i = 0; i < REGISTRY_N_TOLD; i++)
                if (registry->told[i] == digest)
                        return;

        if (registry->n_told >= REGISTRY_N_TOLD &&
            now_us - registry->told_us[slot] < REGISTRY_TOLD_US)
                return;

        registry->told[slot] = digest;
        registry->told_us[slot] = now_us;
        registry->n_told++;
        make_printable(key);
        if (registry->on_bad)
                registry->on_bad(key, why, registry->on_bad_userdata);
}

static bool removed_slot_is_valid(const char *slot) {
        return strlen(slot) == REMOVED_SLOT_BYTES - 1 &&
               strspn(slot, "0123456789abcdef") == REMOVED_SLOT_BYTES - 1;
}

void removed_slot(const char *unit, char ret_slot[REMOVED_SLOT_BYTES]) {
        char hash[UNIT_HASH_BYTES];

        unit_text_hash(unit, strlen(unit), hash);
        memcpy(ret_slot, hash, REMOVED_SLOT_BYTES - 1);
        ret_slot[REMOVED_SLOT_BYTES - 1] = '\0';
}

/* Splits "machine/unit" or one part, in place. Returns whether the parts are what the kind has. */
static bool record_key_split(const RecordFormat *format, char *parts, RecordKey *key) {
        char *slash = strchr(parts, '/');

        if (format->has_machine && format->has_unit) {
                if (!slash)
                        return false;
                *slash = '\0';
                key->machine = parts;
                key->unit = slash + 1;
        } else if (format->has_machine)
                key->machine = parts;
        else if (format->has_unit)
                key->unit = parts;
        else
                return *parts == '\0';

        if (key->machine && (*key->machine == '\0' || strchr(key->machine, '/') ||
                             strlen(key->machine) > UNIT_NAME_MAX_BYTES))
                return false;
        if (key->unit && key->kind == RECORD_FILE)
                return unit_hash_is_valid(key->unit);
        if (key->unit && key->kind == RECORD_REMOVED)
                return removed_slot_is_valid(key->unit);
        if (key->kind == RECORD_REPORT)
                return *key->unit && strspn(key->unit, "0123456789abcdef") == strlen(key->unit);
        return !key->unit || unit_name_check(key->unit, NULL) == 0;
}

static int record_key_decode(const Registry *registry, char *text, RecordKey *ret_key) {
        size_t n_prefix = strlen(registry->prefix);

        if (strncmp(text, registry->prefix, n_prefix) != 0)
                return -EBADMSG;
        text += n_prefix;

        for (RecordKind kind = 0; kind < _RECORD_KIND_MAX; kind++) {
                const RecordFormat *format = &formats[kind];
                size_t n_word = strlen(format->word);
                RecordKey key = { .kind = kind };

                if (strncmp(text, format->word, n_word) != 0)
                        continue;
                if (!record_key_split(format, text + n_word, &key))
                        return -EBADMSG;
                *ret_key = key;
                return 0;
        }

        return -EBADMSG;
}

/* Marks a record as bad, for `why`, which is kept behind the key's parts in `*strings` (of
 * `n_key_bytes`). Returns 0 or -ENOMEM. */
static int record_set_bad(Record *record, char **strings, size_t n_key_bytes, const char *why) {
        size_t n_why_bytes = strlen(why) + 1;
        char *more = malloc(n_key_bytes + n_why_bytes);

        if (!more)
                return -ENOMEM;

        memcpy(more, *strings, n_key_bytes);
        memcpy(more + n_key_bytes, why, n_why_bytes);
        if (record->key.machine)
                record->key.machine = more + (record->key.machine - *strings);
        if (record->key.unit)
                record->key.unit = more + (record->key.unit - *strings);
        record->is_bad = true;
        record->why_bad = more + n_key_bytes;
        free(*strings);
        *strings = more;
        return 0;
}

int record_decode(Registry *registry, const StoreKv *kv, bool is_deleted, bool keys_only,
                  Record *ret_record, char **ret_strings) {
        _cleanup_(freep) char *strings = NULL;
        Record record = {
                .is_deleted = is_deleted,
                .create_revision = kv->create_revision,
                .mod_revision = kv->mod_revision,
                .lease = kv->lease,
                .text = kv->value.data,
                .n_text_bytes = kv->value.n_bytes,
        };
        char key[REGISTRY_KEY_MAX_BYTES];
        Diag diag = { 0 };
        int r;

        (void)snprintf(key, sizeof(key), "%.*s", (int)kv->key.n_bytes, (const char *)kv->key.data);
        strings = strdup(key);
        if (!strings)
                return -ENOMEM;

        if (strlen(key) != kv->key.n_bytes ||
            record_key_decode(registry, strings, &record.key) < 0) {
                registry_tell_bad(registry, key, kv->mod_revision, "no key of ours");
                return -EBADMSG;
        }

        if (!is_deleted && !keys_only) {
                r = formats[record.key.kind].decode(kv, &record, &diag);
                if (r == -ENOMEM)
                        return r;
                if (r < 0) {
                        if (record_set_bad(&record, &strings, kv->key.n_bytes + 1, diag.message) <
                            0)
                                return -ENOMEM;
                        registry_tell_bad(registry, key, kv->mod_revision, diag.message);
                }
        }

        *ret_record = record;
        *ret_strings = TAKE(strings);
        return 0;
}

void record_done(Record *record) {
        if (record->is_bad)
                return;

        switch (record->key.kind) {
        case RECORD_MACHINE:
                machine_record_done(&record->machine);
                break;
        case RECORD_METADATA:
                metadata_done(&record->metadata);
                break;
        case RECORD_PLACEMENT:
                placement_record_done(&record->placement);
                break;
        case RECORD_SCHEDULE:
                schedule_record_done(&record->schedule);
                break;
        case RECORD_STATE:
                state_record_done(&record->state);
                break;
        case RECORD_UNIT:
                unit_record_done(&record->unit);
                break;
        case RECORD_LEADER:
                leader_record_done(&record->leader);
                break;
        case RECORD_CHECKUP:
                checkup_record_done(&record->checkup);
                break;
        case RECORD_REPORT:
                report_record_done(&record->report);
                break;
        case RECORD_HELD:
        case RECORD_HOLD:
                hold_record_done(&record->hold);
                break;
        case RECORD_CLOSED:
                closed_record_done(&record->closed);
                break;
        case RECORD_BRAKE:
                brake_record_done(&record->brake);
                break;
        default:
                break;
        }
}
