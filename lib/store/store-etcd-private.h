/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The parts of the etcd backend and how they call one another.
 *
 *     store-etcd.c          the object, its operations, closing
 *     store-etcd-link.c     the connection: which member, is it fit, token, back-off
 *     store-etcd-calls.c    unary calls: ranges, transactions, grants, revocations, status
 *     store-etcd-leases.c   the keep-alive stream
 *     store-etcd-watches.c  the watch stream
 *
 * The link tells the other three when it is ready (they send what waits). What runs on it ends
 * through the calls' own callbacks when it is lost, and these three then decide what waits for the
 * next member and what ends.
 */

#include "lib/store/grpc-channel.h"
#include "lib/store/store-backend.h"
#include "lib/store/store-etcd-codec.h"
#include "lib/store/store-etcd-endpoints.h"

typedef struct EtcdStore EtcdStore;
typedef struct EtcdWatch EtcdWatch;

/* How long each step of a connection may take. */
enum {
        /* The TCP connection. */
        ETCD_CONNECT_TIMEOUT_US = 1 * US_PER_S,

        /* Connecting and the first answer; twice that once all members have failed. */
        ETCD_PROOF_TIMEOUT_US = 1 * US_PER_S,

        /* A watch has to be confirmed by then. */
        ETCD_CREATED_TIMEOUT_US = 3 * US_PER_S,

        /* A link that served that long has redeemed earlier failures. */
        ETCD_STEADY_US = 500 * US_PER_MS,

        /* With less time left than this, a request that has waited is not sent any more. */
        ETCD_LAST_SEND_US = 50 * US_PER_MS,

        /* A token that is refused at this age has expired; one that is younger is no good. */
        ETCD_TOKEN_AGED_US = 500 * US_PER_MS,

        /* Requests that wait for a link, and keep-alives without an answer. */
        ETCD_WAITING_MAX = 4096,

        /* A reassembly above this is told up to its last whole revision. */
        ETCD_FRAGMENTS_FLUSH_BYTES = 8 << 20,
};

/*
 *   OFF --use--> PROVING --answer--> READY --reauthenticate--> PROVING
 *                 ^    \              /
 *          timer  |     fail or suspect
 *                 |           |
 *              BACKOFF <-- SUSPECT
 */
typedef enum EtcdLinkState {
        ETCD_LINK_OFF,     /* nobody has asked for anything yet, or closed */
        ETCD_LINK_PROVING, /* connecting; a status call or authentication is under way */
        ETCD_LINK_READY,   /* the member has answered */
        ETCD_LINK_SUSPECT, /* given up; torn down in the next turn */
        ETCD_LINK_BACKOFF, /* the next member is tried when the timer fires */
} EtcdLinkState;

/* The one connection. */
typedef struct EtcdLink {
        EtcdLinkState state;
        GrpcChannel *channel; /* owned; in PROVING, READY and SUSPECT */
        GrpcCall proof;
        GrpcMessage *answer; /* owned; to the proof */
        LoopTimer retry;
        LoopDeferred teardown;
        char reason[512];        /* why it is suspect */
        uint64_t ready_since_us; /* 0 while the member has not answered on this connection */
        unsigned token_number;   /* counts authentications */
        uint64_t token_since_us; /* when the last one was */
} EtcdLink;

/* All unary calls. */
typedef struct EtcdCalls {
        List waiting; /* StoreRequest.node */
        List flying;  /* StoreRequest.node */
        size_t n_waiting;
} EtcdCalls;

/* The keep-alive stream. etcd answers in order. */
typedef struct EtcdLeases {
        GrpcCall stream;
        List waiting; /* EtcdKeepAlive.node; to be sent */
        List sent;    /* EtcdKeepAlive.node; in the order of the answers to come */
        size_t n_waiting;
        size_t n_sent;
} EtcdLeases;

/* The watch stream. */
typedef struct EtcdWatches {
        GrpcCall stream;
        EtcdWatch **items; /* owned; by ascending id, which is also the order of creation */
        size_t n_items;
        size_t n_allocated;
        int64_t last_id;
        LoopTimer created; /* set while a watch is not confirmed */
} EtcdWatches;

/* How to do TLS, where the endpoint says so. All owned, or NULL; see StreamTls. */
typedef struct EtcdTls {
        char *module;
        char *ca_path;
        char *cert_path;
        char *key_path;
} EtcdTls;

/* Whom to reach, and as whom. */
typedef struct EtcdAccess {
        EtcdEndpoints endpoints;
        char *username; /* owned; or NULL */
        char *password; /* owned; or NULL */
        EtcdTls tls;
} EtcdAccess;

/* The backend's object. */
struct EtcdStore {
        Store store; /* first: the front-end's part */
        EtcdAccess access;
        EtcdAccess next; /* takes its place when the connection has been given up; without endpoints
                            = none does */
        EtcdLink link;
        EtcdCalls calls;
        EtcdLeases leases;
        EtcdWatches watches;
        LoopDeferred closing;
};

/* The backend's object of a front-end's. */
static inline EtcdStore *etcd_of(Store *store) {
        return container_of(store, EtcdStore, store);
}

/* End a request in the next turn with -ECANCELED or a STORE_E_*; the backend must have let go of
 * it. */
void etcd_finish_later(StoreRequest *request, int status);

/* Free the members. */
void etcd_access_done(EtcdAccess *access);

/* The link. */
void etcd_link_init(EtcdLink *link);
void etcd_link_done(EtcdLink *link);    /* not from below a callback of the channel */
void etcd_link_use(EtcdStore *etcd);    /* bring it up if nobody has yet */
void etcd_link_change(EtcdStore *etcd); /* EtcdStore.next is set */
bool etcd_link_is_ready(const EtcdStore *etcd);
void etcd_link_suspect(EtcdStore *etcd,
                       const char *reason); /* from anywhere; acts in the next turn */
void etcd_link_note_denial(EtcdStore *etcd, const char *message); /* of a request, by etcd */
bool etcd_link_has_other_token(const EtcdStore *etcd,
                               unsigned token_number); /* there is, or should be, a newer one */
void etcd_link_reauthenticate(EtcdStore *etcd,
                              unsigned token_number); /* unless a newer token than that is there */

/* Unary calls. */
int etcd_calls_range(Store *store, StoreRequest *request, const StoreRange *range,
                     uint64_t timeout_us);
int etcd_calls_txn(Store *store, StoreRequest *request, const StoreTxn *txn, uint64_t timeout_us);
int etcd_calls_lease_grant(Store *store, StoreRequest *request, int64_t lease, int64_t ttl_s,
                           uint64_t timeout_us);
int etcd_calls_lease_revoke(Store *store, StoreRequest *request, int64_t lease,
                            uint64_t timeout_us);
int etcd_calls_lease_look(Store *store, StoreRequest *request, int64_t lease, uint64_t timeout_us);
int etcd_calls_status(Store *store, StoreRequest *request, uint64_t timeout_us);
void etcd_calls_cancel(StoreRequest *request);
void etcd_calls_on_ready(EtcdStore *etcd);
void etcd_calls_on_denied(EtcdStore *etcd); /* end what waits: the credentials are refused */
void etcd_calls_close(EtcdStore *etcd);

/* Keep-alives. */
int etcd_leases_keep_alive(Store *store, StoreRequest *request, int64_t lease, uint64_t timeout_us);
void etcd_leases_cancel(StoreRequest *request);
void etcd_leases_on_ready(EtcdStore *etcd);
void etcd_leases_on_denied(EtcdStore *etcd);
void etcd_leases_restart(EtcdStore *etcd); /* the stream needs a fresh token */
void etcd_leases_close(EtcdStore *etcd);

/* Watches. */
int etcd_watches_start(StoreWatch *watch, StoreBytes key, StoreBytes end);
void etcd_watches_stop(StoreWatch *watch);
void etcd_watches_init(EtcdWatches *watches);
void etcd_watches_on_ready(EtcdStore *etcd);
void etcd_watches_on_denied(EtcdStore *etcd);
void etcd_watches_restart(EtcdStore *etcd);
void etcd_watches_close(EtcdStore *etcd);

/* What request->backend points to begins with: whose it is. */
typedef enum EtcdRequestKind {
        ETCD_REQUEST_CALL,
        ETCD_REQUEST_KEEP_ALIVE,
} EtcdRequestKind;
