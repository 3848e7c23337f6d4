/* SPDX-License-Identifier: Apache-2.0 */

/* The registry: construction, the store's connection, outcomes, and reads of one range. */

#include "lib/registry/registry.h"

#include <assert.h>
#include <errno.h>

#include "lib/registry/key.h"

static void on_refresh(LoopTimer *timer) {
        registry_restart_follows(container_of(timer, Registry, refresh));
}

static void on_connection(StoreListener *listener, bool is_connected, const char *detail) {
        Registry *registry = container_of(listener, Registry, connection);

        (void)detail;
        if (!is_connected) {
                timer_clear(&registry->refresh);
                return;
        }

        /* Not all at once when a store comes back to many. */
        if (registry->was_connected)
                timer_set_in(registry->loop, &registry->refresh,
                             REGISTRY_REFRESH_US +
                                     env_random_below(loop_env(registry->loop),
                                                      REGISTRY_REFRESH_SPREAD_US + 1));
        registry->was_connected = true;
}

int registry_new(Registry **ret_registry, Store *store, Loop *loop, const char *prefix) {
        _cleanup_(registry_freep) Registry *registry = NULL;
        Buf text = buf_make(REGISTRY_PREFIX_MAX_BYTES);
        size_t n_bytes = strlen(prefix);
        int r;

        registry = calloc(1, sizeof(*registry));
        if (!registry)
                return -ENOMEM;

        r = buf_printf(&text, "%s%s", prefix, n_bytes > 0 && prefix[n_bytes - 1] == '/' ? "" : "/");
        if (r < 0)
                return r;

        registry->store = store;
        registry->loop = loop;
        registry->prefix = buf_take_string(&text);
        registry->call_timeout_us = STORE_CALL_TIMEOUT_US;
        registry->refresh.fn = on_refresh;
        store_listen(store, &registry->connection, on_connection);
        *ret_registry = TAKE(registry);
        return 0;
}

Registry *registry_free(Registry *registry) {
        if (!registry)
                return NULL;

        store_unlisten(&registry->connection);
        timer_clear(&registry->refresh);
        free(registry->prefix);
        free(registry);
        return NULL;
}

int64_t registry_base(const Registry *registry) {
        return registry->base;
}

void registry_set_base(Registry *registry, int64_t base) {
        registry->base = base;
}

void registry_set_call_timeout(Registry *registry, uint64_t timeout_us) {
        assert(timeout_us > 0);

        registry->call_timeout_us = timeout_us;
}

void registry_set_polling(Registry *registry, uint64_t interval_us) {
        if (registry->poll_us == interval_us)
                return;

        registry->poll_us = interval_us;
        registry_restart_follows(registry);
}

void registry_note_revision(Registry *registry, int64_t revision) {
        registry_saw(registry, revision);
}

Store *registry_store(const Registry *registry) {
        return registry->store;
}

Loop *registry_loop(const Registry *registry) {
        return registry->loop;
}

void registry_set_bad_record_fn(Registry *registry,
                                void (*fn)(const char *key, const char *why, void *userdata),
                                void *userdata) {
        registry->on_bad = fn;
        registry->on_bad_userdata = userdata;
}

const char *registry_outcome_to_string(int status) {
        static const char *const outcomes[_REGISTRY_E_MAX] = {
                [_REGISTRY_E_OK] = "done",
                [REGISTRY_E_CONFLICT] = "the record was changed by another meanwhile",
                [REGISTRY_E_UNREACHABLE] = "the store cannot be reached",
                [REGISTRY_E_UNKNOWN] = "the store did not answer",
                [REGISTRY_E_COMPACTED] = "the revision was compacted away",
                [REGISTRY_E_NO_LEASE] = "the lease has ended",
                [REGISTRY_E_TOO_LARGE] = "the change is too large for one transaction",
                [REGISTRY_E_REFUSED] =
                        "the store refuses the request: it is full, or denies access",
        };

        if (status < 0)
                return strerror(-status);
        return status < _REGISTRY_E_MAX ? outcomes[status] : "unknown outcome";
}

int registry_outcome(int store_status) {
        static const int outcomes[_STORE_E_MAX] = {
                [STORE_E_UNREACHABLE] = REGISTRY_E_UNREACHABLE,
                [STORE_E_UNKNOWN] = REGISTRY_E_UNKNOWN,
                [STORE_E_COMPACTED] = REGISTRY_E_COMPACTED,
                [STORE_E_NO_LEASE] = REGISTRY_E_NO_LEASE,
                [STORE_E_DENIED] = REGISTRY_E_REFUSED,
                [STORE_E_NO_SPACE] = REGISTRY_E_REFUSED,
                [STORE_E_TOO_LARGE] = REGISTRY_E_TOO_LARGE,
                [STORE_E_INVALID] = REGISTRY_E_REFUSED,
        };

        return store_status <= 0 ? store_status : outcomes[store_status];
}

/* The records of one reply, decoded. */
typedef struct RecordBatch {
        Record *records; /* owned */
        char **strings;  /* owned, one per record */
        size_t n_records;
} RecordBatch;

static void record_batch_done(RecordBatch *batch) {
        for (size_t i = 0; i < batch->n_records; i++) {
                record_done(&batch->records[i]);
                free(batch->strings[i]);
        }
        free(batch->records);
        free(batch->strings);
}

static int record_batch_decode(RegistryRead *read, const StoreReply *reply, RecordBatch *batch) {
        batch->records = calloc(reply->n_kvs + 1, sizeof(Record));
        batch->strings = calloc(reply->n_kvs + 1, sizeof(char *));
        if (!batch->records || !batch->strings)
                return -ENOMEM;

        for (size_t i = 0; i < reply->n_kvs; i++) {
                int r = record_decode(read->registry, &reply->kvs[i], false, read->keys_only,
                                      &batch->records[batch->n_records],
                                      &batch->strings[batch->n_records]);

                if (r == -EBADMSG && read->n_foreign++ > 0)
                        continue;
                if (r == -EBADMSG) {
                        read->foreign = record_key_printable(&reply->kvs[i].key);
                        r = read->foreign ? 0 : -ENOMEM;
                } else if (r == 0)
                        batch->n_records++;
                if (r < 0)
                        return r;
        }

        return 0;
}

static void registry_read_end(RegistryRead *read, int status, const RegistryPage *page) {
        char *end = TAKE(read->end), *foreign = TAKE(read->foreign);

        /* It may be gone, or begun anew, when its callback returns. */
        read->registry = NULL;
        read->done(read, status, page);
        free(end);
        free(foreign);
}

static void on_range(StoreRequest *request, int status, const StoreReply *reply);

static int registry_read_send(Registry *registry, RegistryRead *read, const StoreRange *range) {
        return store_range(registry->store, &read->request, range, registry->call_timeout_us,
                           on_range);
}

/* The next part, behind one of which nothing is ours. */
static int registry_read_on(RegistryRead *read, const StoreReply *reply) {
        const StoreBytes *last = &reply->kvs[reply->n_kvs - 1].key;
        _cleanup_(buf_done) Buf key = buf_make(last->n_bytes + 1);
        StoreRange args = { .end = { read->end, read->n_end_bytes },
                            .limit = read->limit,
                            .keys_only = read->keys_only };
        int r;

        r = buf_append(&key, last->data, last->n_bytes);
        if (r == 0)
                r = buf_append(&key, "", 1);
        if (r < 0)
                return r;

        read->revision = read->revision > 0 ? read->revision : reply->revision;
        args.revision = read->revision;
        args.key = (StoreBytes){ key.data, key.n_bytes };
        return registry_read_send(read->registry, read, &args);
}

static void on_range(StoreRequest *request, int status, const StoreReply *reply) {
        RegistryRead *read = container_of(request, RegistryRead, request);
        _cleanup_(record_batch_done) RecordBatch batch = { 0 };
        RegistryPage page;
        int r;

        if (status != 0) {
                registry_read_end(read, registry_outcome(status), NULL);
                return;
        }

        r = record_batch_decode(read, reply, &batch);
        if (r == 0 && reply->more && reply->n_kvs > 0 && batch.n_records == 0) {
                r = registry_read_on(read, reply);
                if (r == 0)
                        return;
        }
        if (r < 0) {
                registry_read_end(read, r, NULL);
                return;
        }

        page = (RegistryPage){
                .records = batch.records,
                .n_records = batch.n_records,
                .revision = read->revision > 0 ? read->revision : reply->revision,
                .more = reply->more,
                .n_foreign = read->n_foreign,
                .foreign = read->foreign,
        };
        registry_read_end(read, 0, &page);
}

static int registry_range_encode(const Registry *registry, const RegistryRange *range, Buf *key,
                                 Buf *end) {
        static const char next = '\0';
        Buf prefix = buf_make(REGISTRY_KEY_MAX_BYTES);
        int r;

        r = record_key_encode(registry, &range->key, key);
        if (r < 0 || record_key_is_complete(&range->key))
                return r;

        r = buf_append(&prefix, key->data, key->n_bytes);
        if (r == 0 && range->until) {
                r = buf_printf(end, "%s%s", prefix.data, range->until);
                if (r == 0)
                        r = buf_append(end, &next, 1);
        } else if (r == 0)
                r = record_key_end(&prefix, end);

        if (r == 0 && range->after) {
                r = buf_append_string(key, range->after);
                if (r == 0)
                        r = buf_append(key, &next, 1);
        }

        buf_done(&prefix);
        return r;
}

int registry_read(Registry *registry, RegistryRead *read, const RegistryRange *range,
                  RegistryReadDone done) {
        _cleanup_(buf_done) Buf key = buf_make(REGISTRY_KEY_MAX_BYTES),
                                end = buf_make(REGISTRY_KEY_MAX_BYTES);
        StoreRange args = { .revision = range->revision,
                            .limit = range->limit,
                            .keys_only = range->keys_only };
        int r;

        assert(done);
        assert(!read->registry);

        r = registry_range_encode(registry, range, &key, &end);
        if (r < 0)
                return r;

        args.key = (StoreBytes){ key.data, key.n_bytes };
        args.end = (StoreBytes){ end.data, end.n_bytes };
        r = registry_read_send(registry, read, &args);
        if (r < 0)
                return r;

        read->registry = registry;
        read->done = done;
        read->end = range->limit > 0 ? TAKE(end.data) : NULL;
        read->n_end_bytes = end.n_bytes;
        read->n_foreign = 0;
        read->revision = range->revision;
        read->limit = range->limit;
        read->keys_only = range->keys_only;
        return 0;
}

void registry_read_cancel(RegistryRead *read) {
        store_cancel(&read->request);
}

bool registry_read_is_pending(const RegistryRead *read) {
        return read->registry;
}
