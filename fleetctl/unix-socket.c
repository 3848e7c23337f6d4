/* SPDX-License-Identifier: Apache-2.0 */

/* Sockets in the file system (unix(7)): a path that is too long is an error, never cut. */

#include "fleetctl/unix-socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 64 }; /* connections that may wait: more than fleetctl makes at a time */

static int open_at(const char *path, int flags, struct sockaddr_un *ret_address) {
        int fd;

        *ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
        if (strlen(path) >= sizeof(ret_address->sun_path))
                return -ENAMETOOLONG;
        memcpy(ret_address->sun_path, path, strlen(path) + 1);

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
        return fd < 0 ? -errno : fd;
}

/* Hand out the descriptor if all went well, or close it and return the error. */
static int settle(int fd, int result, int *ret_fd) {
        int r = result < 0 ? -errno : 0;

        if (r < 0)
                (void)close(fd);
        else
                *ret_fd = fd;
        return r;
}

int unix_socket_connect(const char *path, int *ret_fd) {
        struct sockaddr_un address;
        int fd = open_at(path, 0, &address);

        if (fd < 0)
                return fd;
        return settle(fd, connect(fd, (struct sockaddr *)&address, sizeof(address)), ret_fd);
}

int unix_socket_listen(const char *path, int *ret_fd) {
        struct sockaddr_un address;
        int fd = open_at(path, SOCK_NONBLOCK, &address);
        int r;

        if (fd < 0)
                return fd;
        r = bind(fd, (struct sockaddr *)&address, sizeof(address));
        return settle(fd, r < 0 ? r : listen(fd, BACKLOG), ret_fd);
}
