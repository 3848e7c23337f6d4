/* SPDX-License-Identifier: Apache-2.0 */

/* Both sides of a question; ask.h says which. On the socket between them the helper sends the
 * question and ends its direction; the reply is the answer, or nothing when there is none.
 *
 * Standard input is read a byte at a time: what follows the answer belongs to the remote command.
 */

#include "fleetctl/ask.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "fleetctl/scratch.h"
#include "fleetctl/unix-socket.h"
#include "lib/base/macro.h"

enum { QUESTION_MAX_BYTES = 16 * 1024 };

#define OTHER_ASKPASS "FLEETCTL_OTHER_ASKPASS" /* the user's own SSH_ASKPASS, for the helper */

/* --- wording */

static const char choice[] = "(yes/no/[fingerprint])";

bool ask_is_host_key(const char *question) {
        return strstr(question, "continue connecting (yes/no") != NULL;
}

int ask_append_question(Buf *out, const char *question) {
        const char *mark = strstr(question, choice);
        int r;

        if (!mark)
                return buf_append_string(out, question);
        r = buf_append(out, question, (size_t)(mark - question));
        return r < 0 ? r : buf_printf(out, "(yes/no)%s", mark + strlen(choice));
}

const char *ask_answer(const char *line) {
        if (strcasecmp(line, "yes") == 0 || strcasecmp(line, "y") == 0)
                return "yes";
        return strncmp(line, "SHA256:", 7) == 0 || strncmp(line, "MD5:", 4) == 0 ? line : "no";
}

/* --- the side that puts the question */

/* The helper is a link in the scratch folder, by whose name fleetctl knows what it is for. */
static int link_helper(void) {
        char program[4096];
        ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);

        if (n < 0)
                return -errno;
        program[n] = '\0';
        return symlink(program, scratch_path(SCRATCH_ASKPASS)) < 0 ? -errno : 0;
}

int ask_open(Ask *ask, Diag *diag) {
        int r;

        *ask = ASK_CLOSED;
        ask->text = buf_make(QUESTION_MAX_BYTES);

        r = unix_socket_listen(scratch_path(SCRATCH_ASK), &ask->listen_fd);
        if (r == 0)
                r = link_helper();
        if (r < 0)
                return diag_set(diag, r, "unable to set up questions in %s: %s",
                                scratch_path(SCRATCH_ASK), strerror(-r));
        return 0;
}

static void ask_drop_peer(Ask *ask) {
        if (ask->peer_fd >= 0)
                (void)close(ask->peer_fd);
        ask->peer_fd = -1;
        ask->is_put = false;
        buf_clear(&ask->text);
}

void ask_close(Ask *ask) {
        ask_drop_peer(ask);
        if (ask->listen_fd >= 0)
                (void)close(ask->listen_fd);
        buf_done(&ask->text);
        *ask = ASK_CLOSED;
}

/* One question at a time: who comes meanwhile waits to be accepted. */
void ask_poll(const Ask *ask, struct pollfd fds[ASK_POLL_FDS]) {
        fds[0] = (struct pollfd){ .fd = ask->peer_fd >= 0 ? ask->peer_fd : ask->listen_fd,
                                  .events = ask->is_put ? 0 : POLLIN };
        fds[1] = (struct pollfd){ .fd = ask->is_put ? STDIN_FILENO : -1, .events = POLLIN };
}

static void ask_put(Ask *ask) {
        _cleanup_(buf_done) Buf question = buf_make(QUESTION_MAX_BYTES);

        if (ask->text.n_bytes == 0 || ask_append_question(&question, ask->text.data) < 0) {
                ask_drop_peer(ask);
                return;
        }
        (void)fputs(question.data, stderr);
        buf_clear(&ask->text);
        ask->is_put = true;
}

static void ask_read_question(Ask *ask) {
        char bytes[1024];
        ssize_t n = read(ask->peer_fd, bytes, sizeof(bytes));

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n == 0)
                ask_put(ask);
        else if (n < 0 || buf_append(&ask->text, bytes, (size_t)n) < 0)
                ask_drop_peer(ask);
}

static void ask_read_answer(Ask *ask) {
        char byte;
        ssize_t n = read(STDIN_FILENO, &byte, 1);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n == 1 && byte != '\n' && byte != '\r' && buf_append(&ask->text, &byte, 1) == 0)
                return;
        if (n == 1 && byte == '\r')
                return;

        /* No line at all is no answer, which ssh takes for a no. */
        if (n == 1 || ask->text.n_bytes > 0) {
                const char *answer = ask_answer(ask->text.data ? ask->text.data : "");

                (void)send(ask->peer_fd, answer, strlen(answer), MSG_NOSIGNAL);
        } else
                (void)fputc('\n', stderr);
        ask_drop_peer(ask);
}

void ask_on_poll(Ask *ask, const struct pollfd fds[ASK_POLL_FDS]) {
        if (ask->peer_fd < 0 && (fds[0].revents & POLLIN))
                ask->peer_fd = accept4(ask->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        else if (ask->peer_fd >= 0 && !ask->is_put && fds[0].revents)
                ask_read_question(ask);
        else if (ask->is_put && (fds[0].revents & (POLLERR | POLLHUP)))
                ask_drop_peer(ask);
        else if (ask->is_put && fds[1].revents)
                ask_read_answer(ask);
}

char *const *ask_environment(void) {
        static char askpass[256], other[1024];
        static char require[] = "SSH_ASKPASS_REQUIRE=force";
        static char *variables[4];
        const char *users = getenv("SSH_ASKPASS");
        size_t n = 0;

        (void)snprintf(askpass, sizeof(askpass), "SSH_ASKPASS=%s", scratch_path(SCRATCH_ASKPASS));
        variables[n++] = askpass;
        variables[n++] = require;
        if (users && strlen(users) < sizeof(other) - sizeof(OTHER_ASKPASS)) {
                (void)snprintf(other, sizeof(other), OTHER_ASKPASS "=%s", users);
                variables[n++] = other;
        }
        variables[n] = NULL;
        return variables;
}

/* --- the helper */

bool ask_is_helper(const char *argv0) {
        const char *slash = strrchr(argv0, '/');

        return slash && streq(slash + 1, "fleetctl-askpass");
}

static int helper_connect(const char *argv0) {
        _cleanup_(freep) char *path = NULL;
        int n_folder = (int)(strrchr(argv0, '/') - argv0);
        int fd;

        if (asprintf(&path, "%.*s/ask", n_folder, argv0) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        return unix_socket_connect(path, &fd) < 0 ? -1 : fd;
}

/* Copy what comes until the end. Returns whether anything did. */
static bool helper_copy_answer(int fd) {
        char bytes[1024];
        bool has_any = false;
        ssize_t n;

        while ((n = read(fd, bytes, sizeof(bytes))) > 0)
                has_any = fwrite(bytes, 1, (size_t)n, stdout) == (size_t)n;
        return has_any && puts("") >= 0 && fflush(stdout) == 0;
}

static int ask_over_socket(const char *argv0, const char *question) {
        int fd = helper_connect(argv0);
        bool is_answered;

        if (fd < 0)
                return EXIT_FAILURE;
        is_answered = send(fd, question, strlen(question), MSG_NOSIGNAL) >= 0 &&
                      shutdown(fd, SHUT_WR) == 0 && helper_copy_answer(fd);
        (void)close(fd);
        return is_answered ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* A secret: typed on the terminal, and not shown. */
static int ask_on_terminal(FILE *terminal, const char *question) {
        _cleanup_(freep) char *line = NULL;
        struct termios shown, hidden;
        bool is_shown = tcgetattr(fileno(terminal), &shown) < 0;
        size_t n_allocated = 0;
        ssize_t n;

        if (!is_shown) {
                hidden = shown;
                hidden.c_lflag &= ~(tcflag_t)ECHO;
                (void)tcsetattr(fileno(terminal), TCSAFLUSH, &hidden);
        }
        (void)fputs(question, terminal);
        (void)fflush(terminal);
        n = getline(&line, &n_allocated, terminal);
        if (!is_shown)
                (void)tcsetattr(fileno(terminal), TCSAFLUSH, &shown);
        (void)fputc('\n', terminal);

        if (n < 0 || fputs(line, stdout) < 0 || fflush(stdout) != 0)
                return EXIT_FAILURE;
        explicit_bzero(line, n_allocated);
        return EXIT_SUCCESS;
}

/* Where ssh would turn to the user's own SSH_ASKPASS, so does the helper (ssh(1)). */
static int ask_secret(char *const *argv, const char *question) {
        const char *other = getenv(OTHER_ASKPASS), *hint = getenv("SSH_ASKPASS_PROMPT");
        FILE *terminal = fopen("/dev/tty", "r+e");
        int r;

        if (!terminal) {
                if (!other)
                        return EXIT_FAILURE;
                (void)execlp(other, other, argv[1], (char *)NULL);
                return EXIT_FAILURE;
        }

        if (hint && streq(hint, "none")) /* only to be told, as of a key that waits for a touch */
                r = fprintf(terminal, "%s\n", question) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        else
                r = ask_on_terminal(terminal, question);
        (void)fclose(terminal);
        return r;
}

int ask_help(char *const *argv) {
        const char *question = argv[1] ? argv[1] : "";

        return ask_is_host_key(question) ? ask_over_socket(argv[0], question)
                                         : ask_secret(argv, question);
}
