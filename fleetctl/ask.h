/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Questions that ssh has for a person. An unknown host key is asked for on stderr and answered on
 * stdin, terminal or not (contract section 3, SSH transport); passwords and the like are asked for
 * on the terminal.
 *
 * ssh hands each question to the program that SSH_ASKPASS names. That is fleetctl again, as the
 * helper: it has the question put by the fleetctl that started ssh, whose stdin is the one that
 * counts (that of an ssh behind a proxy is a connection).
 */

#include <poll.h>
#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/base/diag.h"

enum { ASK_POLL_FDS = 2 }; /* that ask_poll() fills in */

/* The side of the fleetctl that runs ssh. */
typedef struct Ask {
        int listen_fd; /* owned; -1 while closed */
        int peer_fd;   /* owned; the helper whose question is open, or -1 */
        bool is_put;   /* the question was printed, the answer is being read */
        Buf text;      /* the question, then the answer */
} Ask;

/* An Ask that is closed. */
#define ASK_CLOSED ((Ask){ .listen_fd = -1, .peer_fd = -1 })

/* Listen for helpers, in the scratch folder. Returns 0 or a negative errno with a message. */
int ask_open(Ask *ask, Diag *diag);

/* Close it; closed afterwards. */
void ask_close(Ask *ask);

/* What to poll(2) for. */
void ask_poll(const Ask *ask, struct pollfd fds[ASK_POLL_FDS]);

/* React to what poll(2) said of these. */
void ask_on_poll(Ask *ask, const struct pollfd fds[ASK_POLL_FDS]);

/* The variables that make ssh ask here, as NAME=VALUE, for the life of the process. NULL at the
 * end. */
char *const *ask_environment(void);

/* Was the program started as the helper? */
bool ask_is_helper(const char *argv0);

/* Be the helper: `argv[1]` is the question, the answer goes to stdout. Returns the exit code. */
int ask_help(char *const *argv);

/* Is this ssh's question about a host's key? */
bool ask_is_host_key(const char *question);

/* Append the question as the contract words it. Errors as buf_append(). */
int ask_append_question(Buf *out, const char *question);

/* What a person's line means to ssh: "yes" for yes and y, a fingerprint as it is (ssh compares it),
 * "no" for all else. */
const char *ask_answer(const char *line);
