/* SPDX-License-Identifier: Apache-2.0 */

/* Linked into a fleetd that is built with ASan, and into nothing else. The leak check at the end of
 * a process has a child stop the process by ptrace(2), with a SIGSTOP that it waits for; a SIGCONT
 * in that very moment discards the SIGSTOP (signal(7)), and the process hangs for ever. systemd
 * sends a SIGCONT right after every SIGTERM (systemd.kill(5)), which on a loaded machine comes late
 * enough, about once in some hundred ends. So the check waits for that SIGCONT first.
 */

#include <signal.h>
#include <time.h>

/* From sanitizer/lsan_interface.h; calls it before it begins, and does nothing if it returns 1. */
int __lsan_is_turned_off(void);

static sigset_t continued(void) {
        sigset_t set;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGCONT);
        return set;
}

/* Blocked, it stays pending, however early it comes. */
__attribute__((constructor)) static void keep_pending(void) {
        const sigset_t set = continued();

        (void)sigprocmask(SIG_BLOCK, &set, NULL);
}

int __lsan_is_turned_off(void) {
        const sigset_t set = continued();
        const struct timespec patience = { .tv_nsec = 300 * 1000 * 1000 };

        (void)sigtimedwait(&set, NULL, &patience); /* nobody may have sent one */
        return 0;
}
