/* SPDX-License-Identifier: Apache-2.0 */

/* Followers: list at one revision in pages, then watch from the next.
 *
 *       restart -> LISTING part 0, page by page -> part 1 ... -> SYNCED (watches on)
 *          ^            |                                           |
 *          |            | unreachable: the same page again, after   | compacted, denied, asked to
 *          +------------+ a while; compacted: from the start        |
 *          +--------------------------------------------------------+
 *
 * Without watches (registry_set_polling()) SYNCED ends after a while, and all is listed again.
 *
 * A store that is behind what it told itself is another one, or an old copy. To take its list for
 * what there is now would stop every unit that it does not know, so it is told nowhere.
 *
 * Everything is told from the loop. A follower may be stopped and freed by what it tells:
 * `is_alive` says so to the code on the stack, and the read in flight, which has memory of its own,
 * forgets the follower.
 */

#include "lib/registry/follow.h"

#include <assert.h>
#include <errno.h>

#include "lib/registry/key.h"

enum {
        FOLLOW_BACKOFF_MIN_US = 100 * US_PER_MS,
        FOLLOW_BACKOFF_MAX_US = 2 * US_PER_S,
};

/* One page being read. */
typedef struct FollowPage {
        StoreRequest request;
        RegistryFollow *follow; /* NULL once the follower has lost interest */
        int64_t seen;           /* Registry.seen when it was sent */
        uint64_t n_answers;     /* of the store when it was sent */
} FollowPage;

static void follow_list_page(RegistryFollow *follow);

/* Tells a record. Returns whether the follower still exists and is on. */
static bool follow_tell(RegistryFollow *follow, const StoreKv *kv, bool is_deleted) {
        _cleanup_(freep) char *strings = NULL;
        bool is_alive = true, *outer = follow->is_alive;
        Record record;

        /* Out of memory: what was missed must be told again. */
        switch (record_decode(follow->registry, kv, is_deleted, false, &record, &strings)) {
        case 0:
                break;
        case -EBADMSG:
                return true;
        default:
                registry_follow_restart(follow);
                return true;
        }

        follow->is_alive = &is_alive;
        follow->fns->on_record(follow, &record);
        record_done(&record);
        if (is_alive)
                follow->is_alive = outer;
        else if (outer)
                *outer = false;
        return is_alive;
}

static void follow_retry_later(RegistryFollow *follow) {
        uint64_t jitter_us = env_random_below(loop_env(follow->registry->loop),
                                              follow->backoff_us / 2 + 1);

        timer_set_in(follow->registry->loop, &follow->retry, follow->backoff_us / 2 + jitter_us);
        follow->backoff_us *= 2;
        if (follow->backoff_us > FOLLOW_BACKOFF_MAX_US)
                follow->backoff_us = FOLLOW_BACKOFF_MAX_US;
}

/* Tells each revision once. */
static void follow_notice(RegistryFollow *follow, const StoreWatchReport *report) {
        int64_t last = 0;

        for (size_t i = 0; i < report->n_events; i++) {
                if (report->events[i].kv.mod_revision == last)
                        continue;
                last = report->events[i].kv.mod_revision;
                follow->fns->on_noticed(follow, last);
        }
}

static void on_watch(StoreWatch *watch, const StoreWatchReport *report) {
        RegistryFollowPart *part = container_of(watch, RegistryFollowPart, watch);
        RegistryFollow *follow = part->follow;

        /* A store that lists, but denies the watch, may go on with that: a list that is complete is
         * no reason to ask sooner the next time. */
        if (report->kind == STORE_WATCH_DENIED) {
                follow->is_denied = true;
                follow_retry_later(follow);
                return;
        }
        if (report->kind != STORE_WATCH_EVENTS) {
                registry_follow_restart(follow);
                return;
        }
        if (follow->is_denied)
                follow->backoff_us = FOLLOW_BACKOFF_MIN_US;
        follow->is_denied = false;
        registry_saw(follow->registry, report->revision);

        if (part->is_noticed) {
                follow_notice(follow, report);
                return;
        }
        for (size_t i = 0; i < report->n_events; i++)
                if (!follow_tell(follow, &report->events[i].kv,
                                 report->events[i].kind == STORE_EVENT_DELETE))
                        return;
}

/* Has the follower list again after a while. */
static void follow_poll(RegistryFollow *follow) {
        Registry *registry = follow->registry;
        uint64_t spread_us = env_random_below(loop_env(registry->loop), registry->poll_us / 4 + 1);

        timer_set_in(registry->loop, &follow->retry, registry->poll_us - spread_us);
}

/* Returns 0 or a negative errno. */
static int follow_watch(RegistryFollow *follow) {
        for (size_t i = 0; i < follow->n_parts; i++) {
                RegistryFollowPart *part = &follow->parts[i];
                int r;

                if (part->is_list_only)
                        continue;
                r = store_watch_start(follow->registry->store, &part->watch,
                                      (StoreBytes){ part->key.data, part->key.n_bytes },
                                      (StoreBytes){ part->end.data, part->end.n_bytes },
                                      follow->revision + 1, on_watch);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void follow_synced(RegistryFollow *follow) {
        int r = 0;

        if (follow->registry->poll_us > 0)
                follow_poll(follow);
        else
                r = follow_watch(follow);
        if (r < 0) {
                follow_retry_later(follow);
                return;
        }

        follow->is_synced = true;
        if (!follow->is_denied)
                follow->backoff_us = FOLLOW_BACKOFF_MIN_US;
        follow->patience_us = STORE_CALL_TIMEOUT_US;
        follow->fns->on_synced(follow, follow->revision);
}

static int follow_advance(RegistryFollow *follow, const StoreReply *reply) {
        static const char next = '\0';
        int r;

        buf_clear(&follow->from);
        if (!reply->more || reply->n_kvs == 0) {
                follow->i_listing++;
                return 0;
        }

        r = buf_append(&follow->from, reply->kvs[reply->n_kvs - 1].key.data,
                       reply->kvs[reply->n_kvs - 1].key.n_bytes);
        return r < 0 ? r : buf_append(&follow->from, &next, 1);
}

/* A page of a long list may take its time while the store answers others. What is asked of a store
 * that answers nobody is lost, and is not to be waited for once it answers again. */
static void follow_grow_patience(RegistryFollow *follow, const FollowPage *page) {
        if (store_answers(follow->registry->store) == page->n_answers)
                return;
        follow->patience_us *= 2;
        if (follow->patience_us > STORE_LIST_TIMEOUT_US)
                follow->patience_us = STORE_LIST_TIMEOUT_US;
}

static void follow_on_page_failed(RegistryFollow *follow, int status) {
        if (status == STORE_E_COMPACTED)
                registry_follow_restart(follow);
        else
                follow_retry_later(follow);
}

/* Returns whether the list may be told. */
static bool follow_check_revision(RegistryFollow *follow, const FollowPage *page,
                                  int64_t revision) {
        if (revision >= page->seen) {
                registry_saw(follow->registry, revision);
                return true;
        }

        follow_retry_later(follow);
        if (follow->fns->on_set_back)
                follow->fns->on_set_back(follow, revision, page->seen);
        return false;
}

static void on_page(StoreRequest *request, int status, const StoreReply *reply) {
        _cleanup_(freep) FollowPage *page = container_of(request, FollowPage, request);
        RegistryFollow *follow = page->follow;

        if (!follow)
                return;

        follow->page = NULL;
        if (status != 0) {
                follow_grow_patience(follow, page);
                follow_on_page_failed(follow, status);
                return;
        }

        if (follow->revision == 0) {
                if (!follow_check_revision(follow, page, reply->revision))
                        return;
                follow->revision = reply->revision;
                follow->read_us = loop_now_us(follow->registry->loop);
        }
        for (size_t i = 0; i < reply->n_kvs; i++)
                if (!follow_tell(follow, &reply->kvs[i], false))
                        return;

        if (list_node_is_linked(&follow->restart.node))
                return;
        if (follow_advance(follow, reply) < 0)
                registry_follow_restart(follow);
        else
                follow_list_page(follow);
}

static void follow_list_page(RegistryFollow *follow) {
        RegistryFollowPart *part = &follow->parts[follow->i_listing];
        StoreRange range = { .revision = follow->revision, .limit = STORE_PAGE_KEYS };
        FollowPage *page;

        if (follow->i_listing == follow->n_parts) {
                follow_synced(follow);
                return;
        }

        range.key = follow->from.n_bytes > 0
                            ? (StoreBytes){ follow->from.data, follow->from.n_bytes }
                            : (StoreBytes){ part->key.data, part->key.n_bytes };
        range.end = (StoreBytes){ part->end.data, part->end.n_bytes };

        page = calloc(1, sizeof(*page));
        if (page && store_range(follow->registry->store, &page->request, &range,
                                follow->patience_us, on_page) == 0) {
                page->follow = follow;
                page->n_answers = store_answers(follow->registry->store);
                page->seen = follow->registry->seen;
                follow->page = page;
                return;
        }

        free(page);
        follow_retry_later(follow);
}

static void on_retry(LoopTimer *timer) {
        RegistryFollow *follow = container_of(timer, RegistryFollow, retry);

        /* Watches that could not be started, or were denied, have nothing to resume from; or it is
         * time to look again, where there are none. */
        if (follow->i_listing == follow->n_parts)
                registry_follow_restart(follow);
        else
                follow_list_page(follow);
}

/* Forgets the read in flight and the watches. */
static void follow_let_go(RegistryFollow *follow) {
        FollowPage *page = follow->page;

        for (size_t i = 0; i < follow->n_parts; i++)
                store_watch_stop(&follow->parts[i].watch);
        timer_clear(&follow->retry);
        if (page) {
                page->follow = NULL;
                follow->page = NULL;
                store_cancel(&page->request);
        }
}

static void on_restart(LoopDeferred *deferred) {
        RegistryFollow *follow = container_of(deferred, RegistryFollow, restart);
        bool is_alive = true;

        follow_let_go(follow);
        follow->is_synced = false;
        follow->revision = 0;
        follow->i_listing = 0;
        buf_clear(&follow->from);
        if (follow->fns->on_reset) {
                follow->is_alive = &is_alive;
                follow->fns->on_reset(follow);
                if (!is_alive)
                        return;
                follow->is_alive = NULL;
        }
        follow_list_page(follow);
}

void registry_follow_restart(RegistryFollow *follow) {
        loop_defer(follow->registry->loop, &follow->restart);
}

static int follow_add_part(RegistryFollow *follow, const RegistryFollowKey *key) {
        RegistryFollowPart *part = &follow->parts[follow->n_parts++];
        int r;

        *part = (RegistryFollowPart){
                .follow = follow,
                .key = buf_make(REGISTRY_KEY_MAX_BYTES),
                .end = buf_make(REGISTRY_KEY_MAX_BYTES),
                .is_list_only = key->is_list_only,
                .is_noticed = key->is_noticed,
        };
        r = record_key_encode(follow->registry, &key->key, &part->key);
        if (r < 0 || record_key_is_complete(&key->key))
                return r;
        return record_key_end(&part->key, &part->end);
}

int registry_follow_start(Registry *registry, RegistryFollow *follow, const RegistryFollowKey *keys,
                          size_t n_keys, const RegistryFollowFns *fns) {
        assert(!follow->registry);
        assert(n_keys > 0 && n_keys <= REGISTRY_FOLLOW_MAX);
        assert(fns->on_record && fns->on_synced);

        *follow = (RegistryFollow){
                .registry = registry,
                .fns = fns,
                .from = buf_make(REGISTRY_KEY_MAX_BYTES),
                .retry.fn = on_retry,
                .restart.fn = on_restart,
                .backoff_us = FOLLOW_BACKOFF_MIN_US,
                .patience_us = STORE_CALL_TIMEOUT_US,
        };

        for (size_t i = 0; i < n_keys; i++) {
                int r = follow_add_part(follow, &keys[i]);

                if (r < 0) {
                        registry_follow_stop(follow);
                        return r;
                }
        }

        list_append(&registry->follows, &follow->node);
        loop_defer(registry->loop, &follow->restart);
        return 0;
}

void registry_restart_follows(Registry *registry) {
        for (ListNode *node = list_first(&registry->follows); node;
             node = list_next(&registry->follows, node))
                registry_follow_restart(container_of(node, RegistryFollow, node));
}

void registry_follow_stop(RegistryFollow *follow) {
        if (!follow->registry)
                return;

        if (follow->is_alive)
                *follow->is_alive = false;
        follow_let_go(follow);
        list_remove(&follow->node);
        loop_defer_cancel(&follow->restart);
        for (size_t i = 0; i < follow->n_parts; i++) {
                buf_done(&follow->parts[i].key);
                buf_done(&follow->parts[i].end);
        }
        buf_done(&follow->from);
        follow->registry = NULL;
}
