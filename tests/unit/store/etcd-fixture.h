/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The etcd backend against a member that does what the test says, on a clock that the test moves. */

#include "lib/store/proto/etcd.pb-c.h"
#include "lib/store/store-etcd.h"
#include "lib/store/store-watch.h"
#include "tests/unit/store/fake-server.h"

enum { SEEN_MAX = 32 };

/* What the member got. */
typedef struct Seen {
        int32_t stream;
        char method[32];           /* the last part of the path */
        Etcd__WatchRequest *watch; /* owned; for "Watch" */
        int64_t lease;             /* for "LeaseKeepAlive" */
} Seen;

/* A store and the member that it has. */
typedef struct Fixture {
        TestEnv env;
        Loop *loop;
        FakeServer *server;
        uint16_t port; /* of the server */
        Store *store;
        bool is_mute; /* the proof gets no answer */
        unsigned n_proofs;
        unsigned n_authenticates;
        Seen seen[SEEN_MAX];
        size_t n_seen;
        bool has_seen;
        bool is_closed;
} Fixture;

/* A request and what became of it. */
typedef struct Request {
        StoreRequest request;
        Store *store; /* for who starts it again */
        bool has_ended;
        unsigned n_ends;
        int status;
        StoreReply reply;
} Request;

/* A watch and what it was told. */
typedef struct Watch {
        StoreWatch watch;
        bool was_told;
        unsigned n_reports;
        StoreWatchReport last;
        size_t n_events; /* of all reports */
} Watch;

/* A store, as this user (NULL = nobody), that has not connected yet. */
void set_up(Fixture *f, const char *username);

/* Close and free everything. */
void tear_down(Fixture *f);

/* What the member does with a request; `userdata` is the fixture. */
void on_request(FakeServer *server, int32_t stream, const char *path, const GrpcMessage *message,
                void *userdata);

/* Wait until the member has got `n` requests in all; returns the last. */
const Seen *wait_seen(Fixture *f, size_t n);

/* The member sends a message; says that a lease lives on; confirms a watch; or sends events, one for
 * each revision given (0 ends the list). */
void send_message(Fixture *f, int32_t stream, const ProtobufCMessage *message);
void answer_keep_alive(Fixture *f, int32_t stream, int64_t lease, int64_t ttl_s);
void send_created(Fixture *f, int32_t stream, int64_t id);
void send_events(Fixture *f, int32_t stream, int64_t id, bool is_fragment, const int64_t *revisions,
                 size_t n_value_bytes);

/* Requests, and a watch. on_done() is how each of the former ends. */
void on_done(StoreRequest *request, int status, const StoreReply *reply);
void start_put(Fixture *f, Request *r);
void start_range(Fixture *f, Request *r);
void start_keep_alive(Fixture *f, Request *r, int64_t lease);
void start_watch(Fixture *f, Watch *w, const char *key, int64_t revision);

/* The pause after a member was given up passes. */
void pass_backoff(Fixture *f);
