/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the parts of the HTTP server share; only lib/http includes this. */

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>

#include "lib/http/http-server.h"

typedef struct HttpConnection HttpConnection;

/* A connection that evhttp serves. */
struct HttpConnection {
        HttpServer *server;      /* borrowed */
        struct bufferevent *bev; /* a reference of ours until it is adopted, then evhttp's */
        struct evhttp_connection *evcon; /* borrowed; NULL until it is adopted */
        HttpExchange *exchange;          /* owned: the request at the handler, or NULL */
        bool is_replying;                /* a whole reply is on its way out */
        bool is_half_closed; /* the client has ended its sending side and waits for the reply */
        bool is_receiving;   /* a request has begun to arrive */
        bufferevent_data_cb evhttp_write; /* evhttp's own callbacks while ours are in their place */
        bufferevent_event_cb evhttp_event;
        size_t n_output_bytes; /* that wait to be taken */
        size_t n_input_bytes;  /* memory of the request that is arriving, at most */
        LoopDeferred refusal;  /* puts evhttp's own error page into our form */
        LoopTimer deadline;    /* for a request to arrive, and for a reply to be taken */
        uint64_t since_us;     /* loop_now_us() when the client's turn began */
        ListNode node;         /* in the server's list */
        ListNode waiting;      /* in the server's list while it is the client's turn */
};

/* A request at the handler. */
struct HttpExchange {
        HttpConnection *connection;     /* borrowed */
        struct evhttp_request *request; /* evhttp's; ours to free once it has no connection */
        char *path;                     /* owned: the target up to '?' */
        const char *query;              /* borrowed from `path`'s allocation, or NULL */
        const char *body;               /* borrowed from the request */
        size_t n_body_bytes;
        unsigned tag;
        bool hides_server;
        bool has_begun; /* a reply in pieces is under way */
        void (*closed)(HttpExchange *exchange, void *userdata);
        void *closed_userdata;
};

/* The server. */
struct HttpServer {
        Loop *loop;          /* borrowed */
        struct evhttp *http; /* owned */
        char *name;          /* owned: for the Server: header */
        HttpLimits limits;
        HttpHandler handler;
        void *userdata;
        List listeners;   /* HttpListener.node */
        List connections; /* HttpConnection.node */
        List arrivals;    /* HttpConnection.node of those not adopted yet */
        List waiting;     /* HttpConnection.waiting, by the time at which the wait began */
        unsigned n_connections;
        size_t n_output_bytes; /* that wait to be taken on all of them */
        size_t n_input_bytes;  /* of the requests that are arriving on all of them */
        bool is_accepting;
        bool is_guarding; /* the guards of the listeners are on */
        LoopDeferred adopt;
        LoopDeferred relief; /* ends connections whose requests are too much */
        LoopTimer retry;     /* accept again after descriptors ran out */
        LoopTimer room;      /* the client that is awaited longest has had its time */
};

/* Take a request that evhttp has read, and give it to the handler. */
void http_exchange_dispatch(HttpConnection *connection, struct evhttp_request *request);

/* The connection has ended: tell the exchange's owner, once, and free the exchange. */
void http_exchange_abort(HttpExchange *exchange);

/* Notice from now on when the client goes, although nothing is read or written. */
void http_connection_watch(HttpConnection *connection);

/* Whose turn is it? The client's, to send a request, in part or not at all (the deadline begins
 * with its first byte); its turn, to take a whole reply; or ours. */
void http_connection_await_request(HttpConnection *connection);
void http_connection_await_taking(HttpConnection *connection);
void http_connection_serve(HttpConnection *connection);
