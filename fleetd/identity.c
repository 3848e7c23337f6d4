/* SPDX-License-Identifier: Apache-2.0 */

/* Who this machine is: the ID that its records are kept under, and what helps people to tell it
 * from others.
 *
 * The machine ID must be one: two daemons that both think that they are "uninitialized" would take
 * each other's units away. So what is not 32 lower-case hexadecimal digits is refused here, with
 * the command that makes one.
 *
 * The address is asked of the kernel alone (/proc/net/route and getifaddrs(3), which both answer at
 * once), never of a name server.
 */

#include "fleetd/identity.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fleetd/file.h"
#include "lib/base/macro.h"

enum {
        ID_MAX_BYTES = 4096,            /* more is no machine ID */
        ROUTES_MAX_BYTES = 1024 * 1024, /* about 8,000 routes */
};

static int read_below(const char *root, const char *path, char **ret_text) {
        char full[PATH_MAX];

        if (snprintf(full, sizeof(full), "%s%s", root, path) >= (int)sizeof(full))
                return -ENAMETOOLONG;
        return file_read(full, ID_MAX_BYTES, ret_text, NULL);
}

static int read_machine(const char *root, char *ret_machine, Diag *diag) {
        static const char advice[] = "run systemd-machine-id-setup";
        _cleanup_(freep) char *text = NULL;
        char *id;
        int r;

        r = read_below(root, "/etc/machine-id", &text);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return diag_set(diag, r, "cannot read this machine's ID, %s/etc/machine-id: %s; %s",
                                root, strerror(-r), advice);

        id = text_trim(text);
        if (*id == '\0')
                return diag_set(diag, -EINVAL,
                                "%s/etc/machine-id is empty, so this machine has no ID; %s", root,
                                advice);
        if (strlen(id) != IDENTITY_MACHINE_BYTES - 1 ||
            strspn(id, "0123456789abcdef") != strlen(id))
                return diag_set(diag, -EINVAL,
                                "%s/etc/machine-id holds \"%.40s\", and not the 32 hexadecimal "
                                "digits of an ID; %s",
                                root, id, advice);

        memcpy(ret_machine, id, IDENTITY_MACHINE_BYTES);
        return 0;
}

int identity_read(Identity *ret_identity, const char *root, Diag *diag) {
        _cleanup_(identity_done) Identity identity = { 0 };
        _cleanup_(freep) char *boot_id = NULL;
        char hostname[HOST_NAME_MAX + 1] = "";
        int r;

        r = read_machine(root, identity.machine, diag);
        if (r < 0)
                return r;

        r = read_below(root, "/proc/sys/kernel/random/boot_id", &boot_id);
        if (r == -ENOMEM)
                return r;
        if (r == 0) {
                identity.boot_id = strdup(text_trim(boot_id));
                if (!identity.boot_id)
                        return -ENOMEM;
        }

        if (gethostname(hostname, sizeof(hostname) - 1) == 0 && *hostname) {
                identity.hostname = strdup(hostname);
                if (!identity.hostname)
                        return -ENOMEM;
        }

        *ret_identity = identity;
        identity = (Identity){ 0 };
        return 0;
}

void identity_done(Identity *identity) {
        free(identity->boot_id);
        free(identity->hostname);
        *identity = (Identity){ 0 };
}

/* Address */

char *default_route_interface(char *routes) {
        char *best = NULL, *position = NULL;
        unsigned best_metric = UINT_MAX;

        for (char *line = strtok_r(routes, "\n", &position); line;
             line = strtok_r(NULL, "\n", &position)) {
                unsigned destination, gateway, flags, metric, mask;
                char name[IF_NAMESIZE];

                /* Iface Destination Gateway Flags RefCnt Use Metric Mask ...; the heading does not
                 * match. */
                if (sscanf(line, "%15s %x %x %x %*d %*d %u %x", name, &destination, &gateway,
                           &flags, &metric, &mask) != 6)
                        continue;
                if (destination != 0 || mask != 0 || !(flags & RTF_UP) || (flags & RTF_REJECT) ||
                    metric >= best_metric)
                        continue;

                free(best);
                best = strdup(name);
                best_metric = metric;
        }
        return best;
}

/* Would another machine reach it? Private networks count: that is where clusters live. */
static bool is_global(struct in_addr address) {
        uint32_t ip = ntohl(address.s_addr);

        return ip != INADDR_ANY && ip != INADDR_BROADCAST && ip >> 24 != IN_LOOPBACKNET &&
               !IN_MULTICAST(ip) && ip >> 16 != 0xa9fe; /* 169.254/16, link-local (RFC 3927) */
}

static char *first_address(const struct ifaddrs *list, const char *interface) {
        char text[INET_ADDRSTRLEN];

        for (; list; list = list->ifa_next) {
                struct sockaddr_in address;

                if (!list->ifa_addr || list->ifa_addr->sa_family != AF_INET ||
                    !streq(list->ifa_name, interface))
                        continue;
                memcpy(&address, list->ifa_addr, sizeof(address));
                if (is_global(address.sin_addr) &&
                    inet_ntop(AF_INET, &address.sin_addr, text, sizeof(text)))
                        return strdup(text);
        }
        return NULL;
}

int default_address(char **ret_address) {
        _cleanup_(freep) char *routes = NULL, *interface = NULL;
        struct ifaddrs *list;
        char *address;
        int r;

        r = file_read("/proc/net/route", ROUTES_MAX_BYTES, &routes, NULL);
        if (r < 0)
                return r == -ENOMEM ? r : -ENOENT;

        interface = default_route_interface(routes);
        if (!interface)
                return -ENOENT;

        if (getifaddrs(&list) < 0)
                return errno == ENOMEM ? -ENOMEM : -ENOENT;
        address = first_address(list, interface);
        freeifaddrs(list);
        if (!address)
                return -ENOENT;

        *ret_address = address;
        return 0;
}
