/* SPDX-License-Identifier: Apache-2.0 */

/* Starting and ending an etcd.
 *
 * The ports are ones that the kernel gave out and took back; should another process be quicker,
 * etcd ends at once and others are tried. The child dies with its parent (PR_SET_PDEATHSIG,
 * prctl(2)), so that a test that crashes leaves nothing running.
 */

#include "tests/contract/etcd-process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
        ETCD_START_MS = 30000, /* how long it may take until it takes connections */
        ETCD_LOOK_MS = 20,     /* how often to look */
        ETCD_PORT_ATTEMPTS = 5,
};

static struct sockaddr_in loopback(uint16_t port) {
        return (struct sockaddr_in){
                .sin_family = AF_INET,
                .sin_port = htons(port),
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
}

/* A port that was free a moment ago. */
static uint16_t free_port(void) {
        struct sockaddr_in address = loopback(0);
        socklen_t size = sizeof(address);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
            getsockname(fd, (struct sockaddr *)&address, &size) < 0) {
                perror("No free port on the loopback");
                abort();
        }
        (void)close(fd);
        return ntohs(address.sin_port);
}

static bool can_connect(uint16_t port) {
        struct sockaddr_in address = loopback(port);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool can = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;

        (void)close(fd);
        return can;
}

static void run_etcd(const EtcdProcess *etcd) {
        char data[128], log[128], peer[64], cluster[96];
        int fd;

        (void)snprintf(data, sizeof(data), "%s/data", etcd->folder);
        (void)snprintf(log, sizeof(log), "%s/log", etcd->folder);
        (void)snprintf(peer, sizeof(peer), "http://127.0.0.1:%u", etcd->peer_port);
        (void)snprintf(cluster, sizeof(cluster), "default=%s", peer);

        fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (fd >= 0) {
                (void)dup2(fd, STDOUT_FILENO);
                (void)dup2(fd, STDERR_FILENO);
        }
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)unsetenv("ETCDCTL_API");
        (void)execlp("etcd", "etcd", "--data-dir", data, "--listen-client-urls", etcd->endpoint,
                     "--advertise-client-urls", etcd->endpoint, "--listen-peer-urls", peer,
                     "--initial-advertise-peer-urls", peer, "--initial-cluster", cluster, NULL);
        _exit(errno == ENOENT ? 127 : 126);
}

/* Returns 0, or the wait status of an etcd that ended, or -1 when it takes too long. */
static int wait_for_etcd(EtcdProcess *etcd) {
        for (int ms = 0; ms < ETCD_START_MS; ms += ETCD_LOOK_MS) {
                int status;

                if (waitpid(etcd->pid, &status, WNOHANG) == etcd->pid) {
                        etcd->pid = 0;
                        return status ? status : -1;
                }
                if (can_connect(etcd->client_port))
                        return 0;
                (void)poll(NULL, 0, ETCD_LOOK_MS);
        }
        etcd_process_kill(etcd);
        return -1;
}

static int launch_etcd(EtcdProcess *etcd) {
        etcd->pid = fork();
        if (etcd->pid == 0)
                run_etcd(etcd);
        if (etcd->pid < 0) {
                etcd->pid = 0;
                return -1;
        }
        return wait_for_etcd(etcd);
}

int etcd_process_start(EtcdProcess *etcd) {
        int r = -1;

        *etcd = (EtcdProcess){ .folder = "/tmp/store-contract-XXXXXX" };
        if (!mkdtemp(etcd->folder)) {
                perror("Cannot make a folder for etcd");
                return -1;
        }

        for (unsigned n = 0; r != 0 && n < ETCD_PORT_ATTEMPTS; n++) {
                etcd->client_port = free_port();
                etcd->peer_port = free_port();
                (void)snprintf(etcd->endpoint, sizeof(etcd->endpoint), "http://127.0.0.1:%u",
                               etcd->client_port);
                r = launch_etcd(etcd);
                if (r > 0 && WIFEXITED(r) && WEXITSTATUS(r) == 127) {
                        (void)fprintf(stderr,
                                      "etcd is not installed: put `etcd` (3.4 or later) into PATH, "
                                      "or set FLEET_TEST_NO_ETCD=1 to leave it out\n");
                        etcd_process_done(etcd);
                        return -1;
                }
        }
        if (r != 0)
                (void)fprintf(stderr, "etcd does not start; its log is in %s/log\n", etcd->folder);
        return r == 0 ? 0 : -1;
}

void etcd_process_restart(EtcdProcess *etcd) {
        if (launch_etcd(etcd) != 0) {
                (void)fprintf(stderr, "etcd does not start again; its log is in %s/log\n",
                              etcd->folder);
                abort();
        }
}

void etcd_process_kill(EtcdProcess *etcd) {
        if (etcd->pid <= 0)
                return;

        (void)kill(etcd->pid, SIGKILL);
        (void)waitpid(etcd->pid, NULL, 0);
        etcd->pid = 0;
}

void etcd_process_freeze(EtcdProcess *etcd) {
        int status = 0;

        /* All its threads stand still only when the kernel reports the stop. */
        (void)kill(etcd->pid, SIGSTOP);
        if (waitpid(etcd->pid, &status, WUNTRACED) != etcd->pid || !WIFSTOPPED(status)) {
                (void)fprintf(stderr, "etcd has ended by itself; its log is in %s/log\n",
                              etcd->folder);
                abort();
        }
}

void etcd_process_thaw(EtcdProcess *etcd) {
        (void)kill(etcd->pid, SIGCONT);
}

void etcd_process_compact(EtcdProcess *etcd, int64_t revision) {
        char number[32];
        int status = -1;
        pid_t pid;

        (void)snprintf(number, sizeof(number), "%lld", (long long)revision);
        pid = fork();
        if (pid == 0) {
                (void)setenv("ETCDCTL_API", "3", 1);
                (void)execlp("etcdctl", "etcdctl", "--endpoints", etcd->endpoint, "compaction",
                             "--physical", number, NULL);
                _exit(127);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
                (void)fprintf(stderr, "etcdctl cannot compact to revision %s (is it installed?)\n",
                              number);
                abort();
        }
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw) {
        (void)st;
        (void)kind;
        (void)ftw;
        return remove(path);
}

void etcd_process_done(EtcdProcess *etcd) {
        etcd_process_kill(etcd);
        if (etcd->folder[0])
                (void)nftw(etcd->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        etcd->folder[0] = '\0';
}
