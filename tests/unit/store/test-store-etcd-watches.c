/* SPDX-License-Identifier: Apache-2.0 */

/* The etcd backend's watches: what comes in parts, is refused, or stops. */

#include <malloc.h>
#include <stdio.h>

#include "tests/unit/fault.h"
#include "tests/unit/store/etcd-fixture.h"

/* The fragments of a revision are told in one report, each event once. */
START_TEST(test_fragments) {
        Fixture f;
        Watch w;
        const Seen *seen;

        set_up(&f, NULL);
        start_watch(&f, &w, "k", 5);
        seen = wait_seen(&f, 1);
        ck_assert_int_eq(seen->watch->create->start_revision, 5);
        ck_assert(seen->watch->create->fragment);
        send_created(&f, seen->stream, 1);
        send_events(&f, seen->stream, 1, true, (int64_t[]){ 5, 6, 0 }, 10);
        send_events(&f, seen->stream, 1, true, (int64_t[]){ 6, 0 }, 10);
        turn_until_idle(f.loop);
        ck_assert(!w.was_told);
        send_events(&f, seen->stream, 1, false, (int64_t[]){ 6, 0 }, 10);
        turn_until(f.loop, &w.was_told);
        ck_assert_uint_eq(w.n_reports, 1);
        ck_assert_uint_eq(w.n_events, 4);
        ck_assert_int_eq(w.watch.next_revision, 7);
        tear_down(&f);
}
END_TEST

/* A long reassembly is told up to its last whole revision; nothing is told twice or lost, and a
 * revision stays in one report. */
START_TEST(test_long_reassembly) {
        Fixture f;
        Watch w;
        int32_t stream;

        set_up(&f, NULL);
        start_watch(&f, &w, "k", 1);
        stream = wait_seen(&f, 1)->stream;
        send_created(&f, stream, 1);
        for (int64_t i = 1; i <= 9; i++) /* above 8 MB */
                send_events(&f, stream, 1, true, (int64_t[]){ i, i + 1, 0 }, 500000);
        turn_until(f.loop, &w.was_told);
        turn_until_idle(f.loop);
        ck_assert_uint_eq(w.n_reports, 1);
        ck_assert_int_eq(w.last.revision, w.watch.next_revision - 1);
        ck_assert_int_lt(w.last.revision, 10);
        send_events(&f, stream, 1, false, (int64_t[]){ 10, 0 }, 10);
        w.was_told = false;
        turn_until(f.loop, &w.was_told);
        ck_assert_uint_eq(w.n_events, 19);
        ck_assert_int_eq(w.last.revision, 10);
        tear_down(&f);
}
END_TEST

static size_t allocated(void) {
        struct mallinfo2 info = mallinfo2();

        return info.uordblks + info.hblkhd;
}

/* Parts without events are not kept: nothing would bound them. */
START_TEST(test_empty_fragments) {
        /* Of watch 1, more follows, and, in a field that is nobody's, so many bytes. */
        static const char part[] = "\x10\x01\x38\x01\x7a\x80\x80\x40";
        enum { N = 40, PADDING = 1 << 20 };
        _cleanup_(freep) char *message = calloc(1, sizeof part + PADDING);
        size_t n = sizeof part - 1, before;
        Fixture f;
        Watch w, other;
        int32_t stream;

        memcpy(message, part, n);
        set_up(&f, NULL);
        start_watch(&f, &w, "k", 1);
        start_watch(&f, &other, "l", 1);
        stream = wait_seen(&f, 2)->stream;
        send_created(&f, stream, 1);
        send_created(&f, stream, 2);
        turn_until_idle(f.loop);
        before = allocated();
        for (size_t i = 0; i < N; i++) {
                fake_server_send(f.server, stream, message, n + PADDING);
                turn_until_idle(f.loop);
        }
        /* What comes behind them has arrived: so have they. */
        send_events(&f, stream, 2, false, (int64_t[]){ 3, 0 }, 1);
        turn_until(f.loop, &other.was_told);
        ck_assert_uint_lt(allocated(), before + N / 2 * PADDING);
        send_events(&f, stream, 1, false, (int64_t[]){ 4, 0 }, 10);
        turn_until(f.loop, &w.was_told);
        ck_assert_uint_eq(w.n_events, 1);
        tear_down(&f);
}
END_TEST

/* A refusal under the identifier -1 is the oldest unconfirmed watch's; the others go on. */
START_TEST(test_refused_watch) {
        Fixture f;
        Watch first, second;
        Etcd__WatchResponse refusal = ETCD__WATCH_RESPONSE__INIT;
        int32_t stream;

        set_up(&f, NULL);
        start_watch(&f, &first, "forbidden", 1);
        start_watch(&f, &second, "k", 1);
        stream = wait_seen(&f, 2)->stream;
        refusal.watch_id = -1;
        refusal.created = refusal.canceled = true;
        send_message(&f, stream, &refusal.base);
        send_created(&f, stream, 2);
        send_events(&f, stream, 2, false, (int64_t[]){ 4, 0 }, 1);
        turn_until(f.loop, &second.was_told);
        ck_assert_int_eq(first.last.kind, STORE_WATCH_DENIED);
        ck_assert_ptr_null(first.watch.store);
        ck_assert_int_eq(second.last.kind, STORE_WATCH_EVENTS);
        tear_down(&f);
}
END_TEST

/* With a username, a refused watch gets a fresh token once. */
START_TEST(test_refused_watch_reauthenticates) {
        Fixture f;
        Watch w;
        Etcd__WatchResponse refusal = ETCD__WATCH_RESPONSE__INIT;

        set_up(&f, "user");
        start_watch(&f, &w, "k", 1);
        refusal.watch_id = -1;
        refusal.created = refusal.canceled = true;
        send_message(&f, wait_seen(&f, 1)->stream, &refusal.base);
        (void)wait_seen(&f, 2);
        ck_assert_str_eq(fake_server_header(f.server, "token"), "token2");
        ck_assert_int_ne(f.seen[0].stream, f.seen[1].stream);
        ck_assert(!w.was_told);
        send_message(&f, f.seen[1].stream, &refusal.base);
        turn_until(f.loop, &w.was_told);
        ck_assert_int_eq(w.last.kind, STORE_WATCH_DENIED);
        tear_down(&f);
}
END_TEST

/* A token that has aged when it is refused has expired, too, and is replaced again; but not for
 * longer than a watch has to be confirmed, for etcd 3.4 says the same of a forbidden key. */
START_TEST(test_refused_watch_has_aged_tokens_replaced) {
        Fixture f;
        Watch w;
        Etcd__WatchResponse refusal = ETCD__WATCH_RESPONSE__INIT;

        set_up(&f, "user");
        start_watch(&f, &w, "k", 1);
        refusal.watch_id = -1;
        refusal.created = refusal.canceled = true;
        for (unsigned i = 0; i < 4; i++) {
                (void)wait_seen(&f, i + 1);
                ck_assert(!w.was_told);
                f.env.now_us += 1 * US_PER_S;
                send_message(&f, f.seen[i].stream, &refusal.base);
        }
        turn_until(f.loop, &w.was_told);
        ck_assert_int_eq(w.last.kind, STORE_WATCH_DENIED);
        ck_assert_uint_eq(f.n_authenticates, 4);
        tear_down(&f);
}
END_TEST

/* A compaction ends the watch and says up to where. */
START_TEST(test_compacted) {
        Fixture f;
        Watch w;
        Etcd__WatchResponse response = ETCD__WATCH_RESPONSE__INIT;
        int32_t stream;

        set_up(&f, NULL);
        start_watch(&f, &w, "k", 1);
        stream = wait_seen(&f, 1)->stream;
        send_created(&f, stream, 1);
        response.watch_id = 1;
        response.canceled = true;
        response.compact_revision = 41;
        send_message(&f, stream, &response.base);
        turn_until(f.loop, &w.was_told);
        ck_assert_int_eq(w.last.kind, STORE_WATCH_COMPACTED);
        ck_assert_int_eq(w.last.revision, 41);
        ck_assert_ptr_null(w.watch.store);
        tear_down(&f);
}
END_TEST

/* A lost connection resumes after the last event; what came in fragments before is forgotten,
 * and a progress notification changes nothing. */
START_TEST(test_resume) {
        Fixture f;
        Watch w;
        Etcd__WatchResponse progress = ETCD__WATCH_RESPONSE__INIT;
        Etcd__Header header = ETCD__HEADER__INIT;
        int32_t stream;

        set_up(&f, NULL);
        start_watch(&f, &w, "k", 1);
        stream = wait_seen(&f, 1)->stream;
        send_created(&f, stream, 1);
        send_events(&f, stream, 1, false, (int64_t[]){ 8, 0 }, 1);
        header.revision = 100;
        progress.header = &header;
        progress.watch_id = 1;
        send_message(&f, stream, &progress.base);
        send_events(&f, stream, 1, true, (int64_t[]){ 9, 0 }, 1);
        turn_until(f.loop, &w.was_told);
        turn_until_idle(f.loop);
        fake_server_drop(f.server);
        pass_backoff(&f);
        ck_assert_int_eq(wait_seen(&f, 2)->watch->create->start_revision, 9);
        send_created(&f, f.seen[1].stream, 1);
        w.was_told = false;
        send_events(&f, f.seen[1].stream, 1, false, (int64_t[]){ 8, 9, 0 }, 1);
        turn_until(f.loop, &w.was_told);
        ck_assert_uint_eq(w.n_events, 2); /* 8 was not told again */
        tear_down(&f);
}
END_TEST

/* An event of a revision that none can follow is nonsense: the client leaves the member, and resumes
 * from where it was. */
START_TEST(test_last_revision) {
        Fixture f;
        Watch w;

        set_up(&f, NULL);
        start_watch(&f, &w, "k", 3);
        send_created(&f, wait_seen(&f, 1)->stream, 1);
        send_events(&f, f.seen[0].stream, 1, false, (int64_t[]){ INT64_MAX, 0 }, 1);
        pass_backoff(&f);
        ck_assert_int_eq(wait_seen(&f, 2)->watch->create->start_revision, 3);
        ck_assert(!w.was_told);
        tear_down(&f);
}
END_TEST

/* A watch that is not confirmed within 3 s makes the client leave the member. */
START_TEST(test_unconfirmed_watch) {
        Fixture f;
        Watch w;

        set_up(&f, NULL);
        start_watch(&f, &w, "k", 3);
        (void)wait_seen(&f, 1);
        f.env.now_us += 3 * US_PER_S;
        pass_backoff(&f);
        ck_assert_int_eq(wait_seen(&f, 2)->watch->create->start_revision, 3);
        ck_assert_uint_eq(fake_server_n_connections(f.server), 2);
        tear_down(&f);
}
END_TEST

/* A stopped watch is cancelled at the member and told nothing, before as after its confirmation;
 * its identifier is not used again. */
START_TEST(test_stopped_watch) {
        Fixture f;
        Watch early, late, next;
        int32_t stream;

        set_up(&f, NULL);
        start_watch(&f, &early, "k", 1);
        start_watch(&f, &late, "k", 1);
        stream = wait_seen(&f, 2)->stream;
        store_watch_stop(&early.watch);
        ck_assert_int_eq(wait_seen(&f, 3)->watch->cancel->watch_id, 1);
        send_created(&f, stream, 1);
        send_created(&f, stream, 2);
        send_events(&f, stream, 1, false, (int64_t[]){ 4, 0 }, 1);
        turn_until_idle(f.loop);
        store_watch_stop(&late.watch);
        ck_assert_int_eq(wait_seen(&f, 4)->watch->cancel->watch_id, 2);
        start_watch(&f, &next, "k", 1);
        ck_assert_int_eq(wait_seen(&f, 5)->watch->create->watch_id, 3);
        send_events(&f, stream, 2, false, (int64_t[]){ 4, 0 }, 1);
        send_created(&f, stream, 3);
        send_events(&f, stream, 3, false, (int64_t[]){ 5, 0 }, 1);
        turn_until(f.loop, &next.was_told);
        ck_assert(!early.was_told);
        ck_assert(!late.was_told);
        tear_down(&f);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_fragments,
                test_long_reassembly,
                test_empty_fragments,
                test_refused_watch,
                test_refused_watch_reauthenticates,
                test_refused_watch_has_aged_tokens_replaced,
                test_compacted,
                test_resume,
                test_last_revision,
                test_unconfirmed_watch,
                test_stopped_watch,
        };

        return tests_run("store-etcd-watches", tests, ELEMENTSOF(tests));
}
