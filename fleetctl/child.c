/* SPDX-License-Identifier: Apache-2.0 */

/* Children. The parent blocks the signals that matter and reads them from a descriptor, so that one
 * poll(2) waits for the child's end, a signal and a question alike, and no handler runs.
 *
 * A failed exec is told over a pipe that a successful one closes: the caller then knows the cause,
 * where an exit code of 127 could also be the program's own.
 */

#include "fleetctl/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/macro.h"

enum {
        READY_TICK_MS = 10, /* how often a ready file is looked for */
        SIGNAL_BASE = 128,  /* added to a signal's number, as shells do */
};

/* Which package brings a program, for those who lack it. */
static const char *program_remedy(const char *program) {
        if (streq(program, "ssh"))
                return "install OpenSSH's client, version 8.4 or later (Debian and Ubuntu: apt-get "
                       "install openssh-client; Fedora: dnf install openssh-clients)";
        return "install it, or check PATH";
}

/* In the child: become the program, or return an errno. */
static int child_become(const ChildSpec *spec, pid_t parent) {
        if (spec->ends_with_us) {
                (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
                if (getppid() != parent)
                        return ECANCELED;
        }
        if (spec->stdin_fd >= 0 && dup2(spec->stdin_fd, STDIN_FILENO) < 0)
                return errno;
        if (spec->stdout_fd >= 0 && dup2(spec->stdout_fd, STDOUT_FILENO) < 0)
                return errno;
        if (spec->stderr_fd >= 0 && dup2(spec->stderr_fd, STDERR_FILENO) < 0)
                return errno;
        /* A library's connections would stay open for as long as the child lives. */
        (void)close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
        for (char *const *variable = spec->environment; variable && *variable; variable++)
                if (putenv(*variable) != 0)
                        return ENOMEM;

        (void)execvp(spec->argv[0], spec->argv);
        return errno;
}

/* Until the child is the program (0), or said why not. */
static int child_started(int fd, pid_t pid) {
        int error = 0;
        ssize_t n;

        do
                n = read(fd, &error, sizeof(error));
        while (n < 0 && errno == EINTR);

        if (n != (ssize_t)sizeof(error))
                return 0;
        (void)waitpid(pid, NULL, 0);
        return -error;
}

int child_start(const ChildSpec *spec, pid_t *ret_pid, Diag *diag) {
        pid_t parent = getpid(), pid;
        int fds[2], r;

        (void)fflush(stdout);
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;

        pid = fork();
        if (pid == 0) {
                int error = child_become(spec, parent);

                (void)!write(fds[1], &error, sizeof(error));
                _exit(EXIT_FAILURE);
        }
        r = pid < 0 ? -errno : 0;
        (void)close(fds[1]);
        if (r == 0)
                r = child_started(fds[0], pid);
        (void)close(fds[0]);

        if (r == -ENOENT)
                return diag_set(diag, r, "the program %s was not found: %s", spec->argv[0],
                                program_remedy(spec->argv[0]));
        if (r < 0)
                return diag_set(diag, r, "unable to run %s: %s", spec->argv[0], strerror(-r));
        *ret_pid = pid;
        return 0;
}

/* Settle all signals that came. What is typed on a terminal reaches the child as well; what
 * a process sends is for the child, too, and a hangup is told to the session's leader alone. `*ret_signal` is the last that was meant to end fleetctl. */
static void take_signals(int fd, pid_t pid, int *ret_signal) {
        struct signalfd_siginfo info;

        while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
                if (info.ssi_signo == SIGCHLD)
                        continue;
                *ret_signal = (int)info.ssi_signo;
                if (info.ssi_code != SI_KERNEL || info.ssi_signo == SIGHUP)
                        (void)kill(pid, (int)info.ssi_signo);
        }
}

/* The signals to wait with: a child's end, and those that end fleetctl, unless they are ignored as
 * under nohup(1). */
static sigset_t awaited_signals(void) {
        static const int ends[] = { SIGINT, SIGQUIT, SIGTERM, SIGHUP };
        struct sigaction action;
        sigset_t set;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGCHLD);
        for (size_t i = 0; i < ELEMENTSOF(ends); i++)
                if (sigaction(ends[i], NULL, &action) < 0 || action.sa_handler != SIG_IGN)
                        (void)sigaddset(&set, ends[i]);
        return set;
}

static int wait_with(ChildWait *wait, int signal_fd) {
        int ended_by = 0, status;
        Ask closed = ASK_CLOSED;
        Ask *ask = wait->ask ? wait->ask : &closed;

        for (;;) {
                struct pollfd fds[1 + ASK_POLL_FDS] = { { .fd = signal_fd, .events = POLLIN } };
                pid_t pid = waitpid(wait->pid, &status, WNOHANG);

                if (pid == wait->pid)
                        break;
                if (pid < 0)
                        return -errno;
                if (wait->ready_file && access(wait->ready_file, F_OK) == 0)
                        return CHILD_READY;

                ask_poll(ask, fds + 1);
                if (poll(fds, ELEMENTSOF(fds), wait->ready_file ? READY_TICK_MS : -1) < 0 &&
                    errno != EINTR)
                        return -errno;
                take_signals(signal_fd, wait->pid, &ended_by);
                ask_on_poll(ask, fds + 1);
        }

        if (WIFSIGNALED(status))
                wait->code = SIGNAL_BASE + WTERMSIG(status);
        else
                wait->code = ended_by && WEXITSTATUS(status) != 0 ? SIGNAL_BASE + ended_by
                                                                  : WEXITSTATUS(status);
        return CHILD_ENDED;
}

int child_wait(ChildWait *wait) {
        sigset_t awaited = awaited_signals(), before;
        int fd, r;

        if (sigprocmask(SIG_BLOCK, &awaited, &before) < 0)
                return -errno;
        fd = signalfd(-1, &awaited, SFD_CLOEXEC | SFD_NONBLOCK);
        r = fd < 0 ? -errno : wait_with(wait, fd);
        if (fd >= 0)
                (void)close(fd);
        (void)sigprocmask(SIG_SETMASK, &before, NULL);
        return r;
}

int child_run(const ChildSpec *spec, Ask *ask, Diag *diag) {
        ChildWait wait = { .ask = ask };
        int r;

        r = child_start(spec, &wait.pid, diag);
        if (r < 0)
                return r;
        r = child_wait(&wait);
        if (r < 0)
                return diag_set(diag, r, "unable to wait for %s: %s", spec->argv[0], strerror(-r));
        return wait.code;
}
