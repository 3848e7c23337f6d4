/* SPDX-License-Identifier: Apache-2.0 */

/* The sockets of the API come from systemd alone (contract section 8): who may reach the API is
 * decided in fleet.socket, where an admin looks for it and where it is in force before the daemon
 * runs. There is no option to listen by ourselves.
 */

#include "fleetd/listen.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "lib/base/log.h"

int listen_inherited(HttpServer *server) {
        int n_passed = sd_listen_fds(true), n_served = 0;

        if (n_passed < 0)
                return n_passed;

        for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + n_passed; fd++) {
                int r;

                if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, true) <= 0) {
                        log_line(LOG_WARNING,
                                 "Descriptor %d that was passed is no listening stream socket; it "
                                 "is not used",
                                 fd);
                        (void)close(fd);
                        continue;
                }

                r = http_server_listen(server, fd);
                if (r < 0) {
                        log_line(LOG_ERR, "Cannot serve the API on the passed socket %d: %s", fd,
                                 strerror(-r));
                        return r;
                }
                n_served++;
        }
        return n_served;
}
