/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Sockets in the file system. */

/* Connect to the socket at `path`, waiting for room there. The caller closes the descriptor. Returns
 * 0 or a negative errno. */
int unix_socket_connect(const char *path, int *ret_fd);

/* Listen at `path`, without blocking. The caller closes the descriptor. Returns 0 or a negative
 * errno. */
int unix_socket_listen(const char *path, int *ret_fd);
