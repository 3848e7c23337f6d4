/* SPDX-License-Identifier: Apache-2.0 */

/* The server: what it serves, its beginning and its end.
 *
 * The parts: serve-command.c and serve-answer.c (etcd's messages and the store's commands),
 * serve-scan.c (what must not be decoded), serve-request.c (a request on its way), serve-kv.c,
 * serve-lease.c, serve-watch.c and serve-member.c (the services), serve-status.c (how they end);
 * connections and calls are lib/store/grpc-server.h.
 */

#include "lib/serve/serve.h"

#include <errno.h>
#include <stdio.h>

#include "lib/base/log.h"
#include "lib/serve/serve-private.h"

static const GrpcMethod methods[] = {
        { "/etcdserverpb.KV/Range", true, serve_on_range, .gone = serve_request_gone },
        { "/etcdserverpb.KV/Put", true, serve_on_put, .gone = serve_request_gone },
        { "/etcdserverpb.KV/DeleteRange", true, serve_on_delete, .gone = serve_request_gone },
        { "/etcdserverpb.KV/Txn", true, serve_on_txn, .gone = serve_request_gone },
        { "/etcdserverpb.KV/Compact", true, serve_on_compact, .gone = serve_request_gone },
        { .path = "/etcdserverpb.Watch/Watch",
          .message = serve_on_watch,
          .finished = serve_on_watch_finished,
          .drained = serve_on_watch_drained,
          .gone = serve_on_watch_gone },
        { "/etcdserverpb.Lease/LeaseGrant", true, serve_on_grant, .gone = serve_request_gone },
        { "/etcdserverpb.Lease/LeaseRevoke", true, serve_on_revoke, .gone = serve_request_gone },
        { "/etcdserverpb.Lease/LeaseTimeToLive", true, serve_on_look, .gone = serve_request_gone },
        { "/etcdserverpb.Lease/LeaseLeases", true, serve_on_leases, .gone = serve_request_gone },
        { .path = "/etcdserverpb.Lease/LeaseKeepAlive",
          .message = serve_on_keep_alive,
          .finished = serve_on_keep_alive_finished,
          .gone = serve_on_keep_alive_gone },
        { "/etcdserverpb.Maintenance/Status", true, serve_on_status },
        { "/etcdserverpb.Maintenance/Alarm", true, serve_on_alarm },
        { "/etcdserverpb.Cluster/MemberList", true, serve_on_members },
        { "/etcdserverpb.Maintenance/Defragment", true, serve_on_refused },
        { "/etcdserverpb.Maintenance/Hash", true, serve_on_refused },
        { "/etcdserverpb.Maintenance/HashKV", true, serve_on_refused },
        { "/etcdserverpb.Maintenance/Snapshot", true, serve_on_refused },
        { "/etcdserverpb.Maintenance/MoveLeader", true, serve_on_refused },
        { "/etcdserverpb.Cluster/MemberAdd", true, serve_on_refused },
        { "/etcdserverpb.Cluster/MemberRemove", true, serve_on_refused },
        { "/etcdserverpb.Cluster/MemberUpdate", true, serve_on_refused },
        { "/etcdserverpb.Cluster/MemberPromote", true, serve_on_refused },
        { "/etcdserverpb.Auth/Authenticate", true, serve_on_refused },
        { "/etcdserverpb.Auth/AuthEnable", true, serve_on_refused },
        { "/etcdserverpb.Auth/AuthDisable", true, serve_on_refused },
        { "/etcdserverpb.Auth/AuthStatus", true, serve_on_refused },
        { "/etcdserverpb.Auth/UserAdd", true, serve_on_refused },
        { "/etcdserverpb.Auth/UserGet", true, serve_on_refused },
        { "/etcdserverpb.Auth/UserList", true, serve_on_refused },
        { "/etcdserverpb.Auth/UserDelete", true, serve_on_refused },
        { "/etcdserverpb.Auth/UserChangePassword", true, serve_on_refused },
        { "/etcdserverpb.Auth/UserGrantRole", true, serve_on_refused },
        { "/etcdserverpb.Auth/UserRevokeRole", true, serve_on_refused },
        { "/etcdserverpb.Auth/RoleAdd", true, serve_on_refused },
        { "/etcdserverpb.Auth/RoleGet", true, serve_on_refused },
        { "/etcdserverpb.Auth/RoleList", true, serve_on_refused },
        { "/etcdserverpb.Auth/RoleDelete", true, serve_on_refused },
        { "/etcdserverpb.Auth/RoleGrantPermission", true, serve_on_refused },
        { "/etcdserverpb.Auth/RoleRevokePermission", true, serve_on_refused },
};

static void serve_on_trouble(const char *peer, const char *words, void *service) {
        (void)service;
        log_line(LOG_WARNING, "Serving the store%s%s: %s", peer ? " to " : "", peer ? peer : "",
                 words);
}

/* ---- beginning */

/* Where clients reach it, for those who ask for the members. */
static int serve_note_url(Serve *serve, const ServeAddress *address, const ServeOptions *options) {
        const char *host = address->host;
        char url[128];

        if (streq(host, "0.0.0.0") || streq(host, "::"))
                host = options->host ? options->host : "127.0.0.1";
        (void)snprintf(url, sizeof(url), strchr(host, ':') ? "%s://[%s]:%u" : "%s://%s:%u",
                       options->tls ? "https" : "http", host, address->port);
        return strlist_add(&serve->urls, url);
}

static int serve_listen(Serve *serve, const ServeOptions *options, Diag *diag) {
        for (size_t i = 0; i < options->addresses->n_items; i++) {
                ServeAddress address;
                int r = serve_address_parse(options->addresses->items[i], &address, diag);

                if (r == 0)
                        r = grpc_server_listen(serve->grpc, address.host, address.port,
                                               options->tls, diag);
                if (r == 0)
                        r = serve_note_url(serve, &address, options);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void serve_on_closing(LoopDeferred *deferred);

int serve_new(Serve **ret_serve, Loop *loop, SqliteStore *sqlite, const ServeOptions *options,
              Diag *diag) {
        Serve *serve = calloc(1, sizeof(*serve));
        const GrpcService service = {
                .methods = methods,
                .n_methods = ELEMENTSOF(methods),
                .trouble = serve_on_trouble,
                .service = serve,
        };
        int r;

        if (!serve)
                return -ENOMEM;

        serve->loop = loop;
        serve->sqlite = sqlite;
        serve->closing.fn = serve_on_closing;
        r = store_sqlite_new(&serve->watched, sqlite);
        if (r == 0)
                r = grpc_server_new(&serve->grpc, loop, &service);
        if (r == 0)
                r = serve_listen(serve, options, diag);
        if (r < 0) {
                (void)serve_free(serve);
                return r;
        }

        *ret_serve = serve;
        return 0;
}

int serve_add_fd(Serve *serve, int fd) {
        return grpc_server_add_fd(serve->grpc, fd);
}

ServeStats serve_stats(const Serve *serve) {
        return (ServeStats){
                .n_connections = grpc_server_connections(serve->grpc),
                .n_calls = grpc_server_calls(serve->grpc),
                .n_watches = serve->n_watches,
        };
}

/* ---- end: the connections, then the watched store, then what the store was asked for */

static void serve_on_closing(LoopDeferred *deferred) {
        Serve *serve = container_of(deferred, Serve, closing);
        void (*closed)(Serve * serve, void *userdata) = serve->closed;

        if (!serve->is_shut || !list_is_empty(&serve->requests) || !closed)
                return;
        serve->closed = NULL;
        closed(serve, serve->closed_userdata);
}

static void serve_on_store_closed(Store *store, void *userdata) {
        Serve *serve = userdata;

        (void)store;
        serve->is_shut = true;
        loop_defer(serve->loop, &serve->closing);
}

static void serve_on_grpc_closed(GrpcServer *server, void *service) {
        Serve *serve = service;

        (void)server;
        store_close(serve->watched, serve_on_store_closed, serve);
}

void serve_close(Serve *serve, void (*closed)(Serve *serve, void *userdata), void *userdata) {
        serve->closed = closed;
        serve->closed_userdata = userdata;
        grpc_server_close(serve->grpc, serve_on_grpc_closed);
}

Serve *serve_free(Serve *serve) {
        if (!serve)
                return NULL;

        serve->grpc = grpc_server_free(serve->grpc);
        loop_defer_cancel(&serve->closing);
        serve->watched = store_free(serve->watched);
        strlist_done(&serve->urls);
        free(serve);
        return NULL;
}
