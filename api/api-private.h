/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the parts of the API share: the state of a request that needs the registry ("call"), and how
 * it is answered. Only api/ includes this.
 *
 * A call is a plain sequence of steps, each of which starts one thing (a read, a fetch of many
 * records, a write) and names the step that follows. Every step ends by starting the next or by
 * replying, both of which may free the call: so each of the functions below that does so is a
 * step's last statement. When the client goes or the API closes, what is in flight is cancelled,
 * and the call frees itself once that has ended.
 */

#include "api/api.h"
#include "lib/base/diag.h"
#include "lib/registry/write.h"

typedef struct ApiCall ApiCall;
typedef struct ApiFetchSlot ApiFetchSlot;

enum {
        API_FETCH_MAX = 16,        /* reads of one call in flight */
        API_ATTEMPTS_MAX = 8,      /* times that a change is decided anew, then: come again */
        API_WAITS_MAX = 64,        /* waits at a time */
        API_WAIT_UNITS_MAX = 4096, /* units of one wait */
        API_WAIT_NARROW_MAX = 16,  /* units of a wait that watches them one by one */
        API_BATCH_MAX = 4096,      /* units of one batch: operations that a transaction can hold */

        /* A page at the largest token_limit, of the largest files, must fail rather than kill. */
        API_REPLY_MAX_BYTES = 512 * 1024 * 1024,
};

/* What requests are counted by; the tag of their exchange. */
typedef enum ApiClass {
        API_CLASS_OTHER, /* no route, or none looked for */
        API_CLASS_DISCOVERY,
        API_CLASS_DOCTOR,
        API_CLASS_EVICTIONS,
        API_CLASS_MACHINES,
        API_CLASS_METRICS,
        API_CLASS_STATE,
        API_CLASS_STATES,
        API_CLASS_UNIT,
        API_CLASS_UNITS,
        API_CLASS_WAIT,
        _API_CLASS_MAX,
} ApiClass;

enum { API_STATUS_CLASSES = 4 /* 2xx to 5xx */ };

/* The API. */
struct Api {
        Registry *registry; /* borrowed */
        ApiOptions options;
        bool is_available;
        char *why_closed; /* owned: why the store is closed; NULL = it is open */
        bool is_closing;
        List calls; /* ApiCall.node */
        unsigned n_waits;
        bool has_doctor; /* a checkup is under way */
        /* By the exchange's tag, and by the status' first digit, from 2 on. */
        uint64_t n_replies[_API_CLASS_MAX][API_STATUS_CLASSES];
        LoopDeferred closing;
        void (*closed)(void *userdata);
        void *closed_userdata;
};

/* What differs between kinds of calls. */
typedef struct ApiCallVtable {
        /* Stop what is not a read, fetch or write of the call itself; or NULL. */
        void (*cancel)(ApiCall *call);
        /* Free the object. */
        void (*free)(ApiCall *call);
        /* A step failed: in place of answering and ending; or NULL. */
        void (*fail)(ApiCall *call, int status);
} ApiCallVtable;

/* A step that follows a read. */
typedef void (*ApiReadStep)(ApiCall *call, const RegistryPage *page);

/* A step that follows anything else. */
typedef void (*ApiStep)(ApiCall *call);

/* A step that follows a write: 0, REGISTRY_E_CONFLICT or REGISTRY_E_UNKNOWN. */
typedef void (*ApiWriteStep)(ApiCall *call, int status);

/* A step that follows the question how the store is: 0, or a STORE_E_* or negative errno; `reply` is
 * borrowed, and set on 0. */
typedef void (*ApiStatusStep)(ApiCall *call, int status, const StoreStatus *reply);

/* Many reads, some at a time. */
typedef struct ApiFetch {
        size_t n_items;   /* how many */
        size_t next;      /* the first that was not started */
        size_t n_pending; /* in flight */
        int status;       /* first failure */
        /* What the i-th reads. */
        void (*range)(ApiCall *call, size_t i, RegistryRange *range);
        /* Keep what it brought; returns 0 or an error that ends the call. */
        int (*take)(ApiCall *call, size_t i, const RegistryPage *page);
        ApiStep then;
        ApiFetchSlot *slots; /* owned while it runs */
} ApiFetch;

/* One request of a client. Embed it first in the object of its kind. */
struct ApiCall {
        Api *api;                    /* borrowed */
        const ApiCallVtable *vtable; /* static */
        HttpExchange *exchange;      /* NULL once it was answered or the client has gone */
        uint16_t token_limit;        /* as of its beginning */
        bool is_cancelled;
        RegistryRead read;
        ApiReadStep read_then;
        ApiFetch fetch;
        RegistryWrite write;
        ApiWriteStep write_then;
        int64_t revision; /* of the last write's commit, 0 unless it ended with 0 */
        StoreRequest status;
        ApiStatusStep status_then;
        ListNode node;
};

/* A handler of a route. `name` is the decoded last segment, or NULL; borrowed until the handler
 * returns. */
typedef void (*ApiHandler)(Api *api, HttpExchange *exchange, const char *name);

/* Count an answer of this status; those below do. */
void api_count_reply(Api *api, const HttpExchange *exchange, int status);
/* Answers without a call. Each consumes the exchange. */
void api_reply_empty(Api *api, HttpExchange *exchange, int status);
void api_reply_bytes(Api *api, HttpExchange *exchange, int status, const char *content_type,
                     const Buf *body);
void api_reply_error(Api *api, HttpExchange *exchange, int status, const char *format, ...)
        __attribute__((format(printf, 4, 5)));
/* 503 as while there is no store (contract section 4.1). */
void api_reply_unavailable(Api *api, HttpExchange *exchange);
/* The answer to a failure: a REGISTRY_E_* or a negative errno. */
void api_reply_failure(Api *api, HttpExchange *exchange, int status);

/* Allocate an object of `size` whose first member is an ApiCall, and tie it to its exchange; NULL
 * after having answered that memory is out. */
void *api_call_new(size_t size, Api *api, HttpExchange *exchange, const ApiCallVtable *vtable);
/* End it without an answer (any more). Frees it. */
void api_call_end(ApiCall *call);
/* Answer and end it. `body` may be NULL. */
void api_call_reply(ApiCall *call, int status, const Buf *body);
void api_call_error(ApiCall *call, int status, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
void api_call_fail(ApiCall *call, int status);
/* What api_call_fail() does where a kind of call has nothing of its own to do. */
void api_call_give_up(ApiCall *call, int status);

/* Steps: read, then `then`. A failure answers and ends the call. */
void api_call_read(ApiCall *call, const RegistryRange *range, ApiReadStep then);
/* Read call->fetch's items (n_items, range and take are set), then `then`. With no items `then`
 * runs at once. */
void api_call_fetch(ApiCall *call, size_t n_items, ApiStep then);
/* Commit call->write. Failures other than those of ApiWriteStep answer and end the call. */
void api_call_write(ApiCall *call, ApiWriteStep then);

/* Ask the store how it is. Every outcome is the step's. */
void api_call_status(ApiCall *call, ApiStatusStep then);

/* The call was cancelled and one thing has ended: end it when that was the last. */
void api_call_ended_one(ApiCall *call);
/* The client has gone, or the API closes: cancel, and end once nothing is in flight. */
void api_call_cancel(ApiCall *call);
void api_fetch_cancel(ApiFetch *fetch);

/* Is it application/json, in any case, with whatever parameters? */
bool api_type_is_json(const char *content_type);
/* Check Content-Type (contract section 4.6, item 1). False after having answered. */
bool api_check_content_type(Api *api, HttpExchange *exchange);

/* The page asked for (contract section 4.4). */
typedef struct PageToken {
        uint16_t page;    /* of a token of fleet 1.0: counted from the start; else 0 */
        int64_t revision; /* 0 = now */
        char *after;      /* owned: the last key of the page before; NULL = from the start */
} PageToken;

/* Free the members. */
void page_token_done(PageToken *token);
/* Decode; -EINVAL with the contract's message in `diag`, or -ENOMEM. */
int page_token_decode(const char *text, uint16_t limit, PageToken *ret_token, Diag *diag);
/* Encode the token of the page behind `after`; the caller frees. NULL = out of memory. */
char *page_token_encode(uint16_t limit, int64_t revision, const char *after);
/* The token of a request's query; false after having answered 400. */
bool api_page_token(Api *api, HttpExchange *exchange, PageToken *ret_token);

/* Handlers */
void api_doctor(Api *api, HttpExchange *exchange, const char *name);
void api_evictions_list(Api *api, HttpExchange *exchange, const char *name);
void api_eviction_put(Api *api, HttpExchange *exchange, const char *name);
void api_discovery(Api *api, HttpExchange *exchange, const char *name);
void api_metrics(Api *api, HttpExchange *exchange, const char *name);
void api_machines_list(Api *api, HttpExchange *exchange, const char *name);
void api_machines_patch(Api *api, HttpExchange *exchange, const char *name);
void api_units_list(Api *api, HttpExchange *exchange, const char *name);
void api_units_post(Api *api, HttpExchange *exchange, const char *name);
void api_unit_get(Api *api, HttpExchange *exchange, const char *name);
void api_unit_put(Api *api, HttpExchange *exchange, const char *name);
void api_unit_delete(Api *api, HttpExchange *exchange, const char *name);
void api_states_list(Api *api, HttpExchange *exchange, const char *name);
void api_state_get(Api *api, HttpExchange *exchange, const char *name);
void api_wait(Api *api, HttpExchange *exchange, const char *name);
