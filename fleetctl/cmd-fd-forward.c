/* SPDX-License-Identifier: Apache-2.0 */

/* fd-forward: stdin and stdout joined to a unix socket (contract section 3). A fleetctl with
 * --tunnel runs it at the other end of its SSH connection.
 *
 * When stdin ends the socket is told so, and what it still has to say is passed on; when the socket
 * ends, or nobody reads stdout any more, all ends.
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fleetctl/cli.h"
#include "fleetctl/unix-socket.h"
#include "lib/base/macro.h"

enum { CHUNK_BYTES = 64 * 1024 };

static int write_all(int fd, const char *bytes, size_t n_bytes) {
        while (n_bytes > 0) {
                ssize_t n = write(fd, bytes, n_bytes);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                bytes += n;
                n_bytes -= (size_t)n;
        }
        return 0;
}

/* Pass on what is there to read. Returns how much that was, 0 at the end, or a negative errno. */
static ssize_t forward(int from, int to) {
        static char chunk[CHUNK_BYTES];
        ssize_t n;
        int r;

        do
                n = read(from, chunk, sizeof(chunk));
        while (n < 0 && errno == EINTR);
        if (n <= 0)
                return n < 0 ? -errno : 0;
        r = write_all(to, chunk, (size_t)n);
        return r < 0 ? r : n;
}

static int join(int socket_fd) {
        enum { FROM_STDIN, FROM_SOCKET, TO_STDOUT, _MAX };
        struct pollfd fds[_MAX] = {
                [FROM_STDIN] = { .fd = STDIN_FILENO, .events = POLLIN },
                [FROM_SOCKET] = { .fd = socket_fd, .events = POLLIN },
                [TO_STDOUT] = { .fd = STDOUT_FILENO },
        };
        ssize_t n;

        for (;;) {
                if (poll(fds, _MAX, -1) < 0 && errno != EINTR)
                        return -errno;
                if (fds[FROM_SOCKET].revents) {
                        n = forward(socket_fd, STDOUT_FILENO);
                        if (n <= 0)
                                return (int)n;
                }
                if (fds[TO_STDOUT].revents)
                        return 0;
                if (fds[FROM_STDIN].revents) {
                        n = forward(STDIN_FILENO, socket_fd);
                        if (n < 0)
                                return (int)n;
                        if (n == 0) {
                                (void)shutdown(socket_fd, SHUT_WR);
                                fds[FROM_STDIN].fd = -1;
                        }
                }
        }
}

static int run(Cli *cli) {
        int fd = -1, r;

        r = unix_socket_connect(cli->args.items[0], &fd);
        if (r < 0)
                return cli_fail("Failed dialing remote address: %s: %s", cli->args.items[0],
                                strerror(-r));

        (void)signal(SIGPIPE, SIG_IGN);
        r = join(fd);
        (void)close(fd);
        if (r == 0 || r == -EPIPE || r == -ECONNRESET) /* either side may end at any time */
                return EXIT_OK;
        return cli_fail("Error forwarding to %s: %s", cli->args.items[0], strerror(-r));
}

const Command cmd_fd_forward = {
        .name = "fd-forward",
        .usage = "SOCKET",
        .summary = "Join standard input and output to a unix socket",
        .description =
                "What a fleetctl with --tunnel runs at the far end of its SSH connection, to "
                "reach fleetd there.\n",
        .args = COMMAND_ARGS_NONE,
        .min_args = 1,
        .max_args = 1,
        .args_message = "Provide a single argument",
        .args_exit = EXIT_FAILED,
        .run = run,
};
