/* SPDX-License-Identifier: Apache-2.0 */

/* What clients of etcd ask of the member itself: its state, where it is to be found, its alarms; and
 * the methods that a store in one file has no answer for. */

#include <errno.h>

#include "lib/serve/serve-private.h"

/* Clients compare the beginning with what they need of etcd. */
#define SERVED_VERSION "3.4.0" STORE_SERVED_MARK FLEET_VERSION
#define SERVED_NAME    "fleet"

/* Sends an answer that needed nothing of the store, and ends the call. */
static void member_answer(GrpcServerCall *call, const ProtobufCMessage *message) {
        int r = serve_send(call, message);

        if (r == 0)
                grpc_server_call_end(call, GRPC_OK, "");
        else
                serve_end(call, r);
}

void serve_on_status(GrpcServerCall *call, GrpcMessage *message, void *service) {
        Serve *serve = service;
        const SqliteState state = sqlite_store_state(serve->sqlite);
        Served__Header header = serve_header(serve, state.revision);
        Served__StatusResponse response = SERVED__STATUS_RESPONSE__INIT;
        char *trouble = (char *)state.why;

        free(message);
        if (!serve_is_usable(serve, call))
                return;

        response.header = &header;
        response.version = (char *)SERVED_VERSION;
        sqlite_store_size(serve->sqlite, &response.db_size, &response.db_size_in_use);
        response.leader = header.member_id;
        response.raft_term = header.raft_term;
        response.raft_index = response.raft_applied_index = (uint64_t)state.revision;
        response.n_errors = *state.why ? 1 : 0;
        response.errors = &trouble;
        member_answer(call, &response.base);
}

void serve_on_members(GrpcServerCall *call, GrpcMessage *message, void *service) {
        Serve *serve = service;
        Served__Header header = serve_header(serve, 0);
        Served__Member member = SERVED__MEMBER__INIT, *members = &member;
        Served__MemberListResponse response = SERVED__MEMBER_LIST_RESPONSE__INIT;

        free(message);
        if (!serve_is_usable(serve, call))
                return;

        member.id = header.member_id;
        member.name = (char *)SERVED_NAME;
        member.client_urls = serve->urls.items;
        member.n_client_urls = serve->urls.n_items;
        response.header = &header;
        response.n_members = 1;
        response.members = &members;
        member_answer(call, &response.base);
}

/* There are none: what is wrong with the file is told by the status, and by each request. */
void serve_on_alarm(GrpcServerCall *call, GrpcMessage *message, void *service) {
        _cleanup_(etcd_arena_done) EtcdArena arena = { .max_bytes = SERVE_DECODED_MAX_BYTES };
        const Served__Done response = SERVED__DONE__INIT;
        ProtobufCMessage *request;
        int r;

        (void)service;
        r = serve_decode(&served__alarm_request__descriptor, message, &arena, &request);
        free(message);
        if (r != 0)
                serve_end(call, r);
        else if (((Served__AlarmRequest *)request)->action ==
                 SERVED__ALARM_REQUEST__ACTION__ACTIVATE)
                grpc_server_call_end(call, GRPC_UNIMPLEMENTED, "the built-in store has no alarms");
        else
                member_answer(call, &response.base);
}

/* ---- what there is not */

static const struct {
        const char *prefix; /* of the path */
        ServeEnd end;
} refusals[] = {
        { "/etcdserverpb.Auth/Authenticate",
          { GRPC_FAILED_PRECONDITION, "etcdserver: authentication is not enabled" } },
        { "/etcdserverpb.Auth/", { GRPC_UNIMPLEMENTED, "the built-in store has no users" } },
        { "/etcdserverpb.Maintenance/Defragment",
          { GRPC_UNIMPLEMENTED, "the built-in store needs no defragmentation" } },
        { "/etcdserverpb.Maintenance/Snapshot",
          { GRPC_UNIMPLEMENTED,
            "the built-in store makes no snapshots: run `fleetd store backup` on its machine" } },
        { "/etcdserverpb.Cluster/",
          { GRPC_UNIMPLEMENTED, "the built-in store has one member, and takes no others" } },
        { "/", { GRPC_UNIMPLEMENTED, "the built-in store does not do this" } },
};

void serve_on_refused(GrpcServerCall *call, GrpcMessage *message, void *service) {
        const char *path = grpc_server_call_method(call)->path;
        size_t i = 0;

        (void)service;
        free(message);
        while (strncmp(path, refusals[i].prefix, strlen(refusals[i].prefix)) != 0)
                i++;
        grpc_server_call_end(call, refusals[i].end.code, refusals[i].end.words);
}
