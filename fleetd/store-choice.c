/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetd/store-choice.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/macro.h"

enum { ANSWER_MS = 100 };

const char *const store_local_servers[] = { "http://127.0.0.1:2379", "http://127.0.0.1:4001" };
const size_t store_n_local_servers = ELEMENTSOF(store_local_servers);

static const uint16_t local_ports[] = { 2379, 4001 };

/* ---- the decision */

static StoreChoice choose_by_configuration(const StoreFacts *facts) {
        bool was_builtin = facts->remembered && streq(facts->remembered, STORE_BUILTIN_NAME);

        if (facts->mode == STORE_MODE_BUILTIN)
                return (StoreChoice){ .is_builtin = true, .why = "store=builtin is configured" };
        if (facts->serves)
                return (StoreChoice){ .is_builtin = true, .why = "store_listen is configured" };
        return (StoreChoice){
                .server = facts->names_etcd ? NULL : store_local_servers[0],
                .why = facts->mode == STORE_MODE_ETCD ? "store=etcd is configured"
                                                      : "etcd is configured",
                .warning = was_builtin
                                   ? "This machine used its built-in store before; units in "
                                     "that which were not copied are not in etcd, and come back "
                                     "with store=builtin"
                                   : NULL,
        };
}

static StoreChoice choose_builtin_again(const StoreFacts *facts) {
        if (facts->answering && !facts->has_records)
                return (StoreChoice){ .server = facts->answering,
                                      .is_remembered = true,
                                      .why = "it answers, and no unit was ever put into the "
                                             "built-in store" };
        return (StoreChoice){
                .is_builtin = true,
                .is_remembered = true,
                .why = "as before",
                .warning = facts->answering
                                   ? "etcd answers on this machine, but its built-in store has "
                                     "records and stays in use; store=etcd in the configuration "
                                     "changes that, and leaves them behind"
                                   : NULL,
        };
}

StoreChoice store_choose(const StoreFacts *facts) {
        if (facts->mode != STORE_MODE_AUTO || facts->names_etcd || facts->serves)
                return choose_by_configuration(facts);
        if (facts->remembered && streq(facts->remembered, STORE_BUILTIN_NAME))
                return choose_builtin_again(facts);
        if (facts->remembered)
                return (StoreChoice){ .server = facts->remembered,
                                      .is_remembered = true,
                                      .why = "as before" };
        if (facts->answering)
                return (StoreChoice){ .server = facts->answering,
                                      .is_remembered = true,
                                      .why = "none is configured, and it answers" };
        return (StoreChoice){ .is_builtin = true,
                              .is_remembered = true,
                              .why = "no etcd is configured, and none answers on this machine" };
}

/* ---- what answers */

/* Does something take a connection? */
static bool answers(uint16_t port) {
        const struct sockaddr_in address = {
                .sin_family = AF_INET,
                .sin_port = htons(port),
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
        struct pollfd ready = { .events = POLLOUT };
        int error = ETIMEDOUT;
        socklen_t n_bytes = sizeof(error);

        ready.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (ready.fd < 0)
                return false;

        if (connect(ready.fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
                error = 0;
        else if (errno == EINPROGRESS && poll(&ready, 1, ANSWER_MS) == 1)
                (void)getsockopt(ready.fd, SOL_SOCKET, SO_ERROR, &error, &n_bytes);
        (void)close(ready.fd);
        return error == 0;
}

const char *store_find_local_etcd(void) {
        for (size_t i = 0; i < ELEMENTSOF(local_ports); i++)
                if (answers(local_ports[i]))
                        return store_local_servers[i];
        return NULL;
}
