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

#include "lib/base/macro.h"

#define LONG_HISTORY "100000000" /* revisions */

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

static void log_to_file(const EtcdProcess *etcd) {
        char path[128];
        int fd;

        (void)snprintf(path, sizeof(path), "%s/log", etcd->folder);
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (fd >= 0) {
                (void)dup2(fd, STDOUT_FILENO);
                (void)dup2(fd, STDERR_FILENO);
        }
}

static void add(const char **command, size_t *n, const char *flag, const char *value) {
        command[(*n)++] = flag;
        command[(*n)++] = value;
}

/* Runs a program and waits for it. Returns whether it went well; what it says goes to etcd's log. */
static bool run(const EtcdProcess *etcd, const char *const *command) {
        int status = -1;
        pid_t pid = fork();

        if (pid == 0) {
                log_to_file(etcd);
                (void)setenv("ETCDCTL_API", "3", 1);
                (void)execvp(command[0], (char *const *)command);
                _exit(127);
        }
        return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static bool run_etcdctl(const EtcdProcess *etcd, bool is_root, const char *const *words) {
        const char *command[24] = { "etcdctl", "--endpoints", etcd->endpoint };
        size_t n = 3;

        if (etcd->guard >= ETCD_CERTIFICATES) {
                const char *const tls[] = { "--cacert", etcd->ca, "--cert",
                                            etcd->cert, "--key",  etcd->key };

                memcpy(command + n, tls, sizeof(tls));
                n += ELEMENTSOF(tls);
        }
        if (is_root) {
                command[n++] = "--user";
                command[n++] = "root:root";
        }
        while (*words && n < ELEMENTSOF(command) - 1)
                command[n++] = *words++;
        return run(etcd, command);
}

static bool make_certificates(EtcdProcess *etcd) {
        const char *const commands[][8] = {
                { CERTIFICATES, etcd->folder, "authority", "ca" },
                { CERTIFICATES, etcd->folder, "server", "server", "ca", "IP:127.0.0.1" },
                { CERTIFICATES, etcd->folder, "client", "client", "ca", ETCD_USER },
        };

        (void)snprintf(etcd->ca, sizeof(etcd->ca), "%s/ca.pem", etcd->folder);
        (void)snprintf(etcd->cert, sizeof(etcd->cert), "%s/client.pem", etcd->folder);
        (void)snprintf(etcd->key, sizeof(etcd->key), "%s/client.key", etcd->folder);
        for (size_t i = 0; i < ELEMENTSOF(commands); i++)
                if (!run(etcd, commands[i]))
                        return false;
        return true;
}

/* The first etcdctl after the start also waits until the member serves. */
static bool make_users(const EtcdProcess *etcd) {
        static const char *const commands[][8] = {
                { "user", "add", "root:root" },
                { "user", "grant-role", "root", "root" },
                { "role", "add", "fleet" },
                { "role", "grant-permission", "fleet", "--prefix=true", "readwrite", "/case-" },
                { "user", "add", ETCD_USER ":" ETCD_PASSWORD },
                { "user", "grant-role", ETCD_USER, "fleet" },
                { "auth", "enable" },
        };

        for (size_t i = 0; i < ELEMENTSOF(commands); i++)
                if (!run_etcdctl(etcd, false, commands[i]))
                        return false;
        return true;
}

static void run_store_server(const EtcdProcess *etcd) {
        const char *address = etcd->endpoint + strlen("http://");
        char path[128];

        (void)snprintf(path, sizeof(path), "%s/store.db", etcd->folder);
        (void)execl(STORE_SERVER, STORE_SERVER, path, address,
                    etcd->guard == ETCD_SERVED_LONG ? LONG_HISTORY : NULL, NULL);
        _exit(126);
}

static void run_etcd(const EtcdProcess *etcd) {
        char data[128], peer[64], cluster[96], cert[96], key[96], token[288];
        const char *command[32] = { "etcd" };
        size_t n = 1;

        (void)snprintf(data, sizeof(data), "%s/data", etcd->folder);
        (void)snprintf(peer, sizeof(peer), "http://127.0.0.1:%u", etcd->peer_port);
        (void)snprintf(cluster, sizeof(cluster), "default=%s", peer);

        (void)snprintf(cert, sizeof(cert), "%s/server.pem", etcd->folder);
        (void)snprintf(key, sizeof(key), "%s/server.key", etcd->folder);
        (void)snprintf(token, sizeof(token), "jwt,pub-key=%s,priv-key=%s,sign-method=ES256,ttl=%ds",
                       cert, key, ETCD_TOKEN_S);

        add(command, &n, "--data-dir", data);
        add(command, &n, "--listen-client-urls", etcd->endpoint);
        add(command, &n, "--advertise-client-urls", etcd->endpoint);
        add(command, &n, "--listen-peer-urls", peer);
        add(command, &n, "--initial-advertise-peer-urls", peer);
        add(command, &n, "--initial-cluster", cluster);
        if (etcd->guard >= ETCD_CERTIFICATES) {
                command[n++] = "--client-cert-auth";
                add(command, &n, "--trusted-ca-file", etcd->ca);
                add(command, &n, "--cert-file", cert);
                add(command, &n, "--key-file", key);
        }
        if (etcd->guard == ETCD_USERS) {
                add(command, &n, "--bcrypt-cost", "4");
                add(command, &n, "--auth-token", token);
        }

        (void)unsetenv("ETCDCTL_API");
        (void)execvp(command[0], (char *const *)command);
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
        if (etcd->pid == 0) {
                log_to_file(etcd);
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (etcd->guard == ETCD_SERVED || etcd->guard == ETCD_SERVED_LONG)
                        run_store_server(etcd);
                run_etcd(etcd);
        }
        if (etcd->pid < 0) {
                etcd->pid = 0;
                return -1;
        }
        return wait_for_etcd(etcd);
}

static int set_up(EtcdProcess *etcd, EtcdGuard guard) {
        *etcd = (EtcdProcess){ .folder = "/tmp/store-contract-XXXXXX", .guard = guard };
        if (!mkdtemp(etcd->folder)) {
                perror("Cannot make a folder for etcd");
                return -1;
        }
        if (guard >= ETCD_CERTIFICATES && !make_certificates(etcd)) {
                (void)fprintf(stderr,
                              "Cannot make certificates (is openssl installed?); see %s/log\n",
                              etcd->folder);
                return -1;
        }
        return 0;
}

int etcd_process_start(EtcdProcess *etcd, EtcdGuard guard) {
        int r = -1;

        if (set_up(etcd, guard) < 0)
                return -1;

        for (unsigned n = 0; r != 0 && n < ETCD_PORT_ATTEMPTS; n++) {
                etcd->client_port = free_port();
                etcd->peer_port = free_port();
                (void)snprintf(etcd->endpoint, sizeof(etcd->endpoint), "%s://127.0.0.1:%u",
                               guard >= ETCD_CERTIFICATES ? "https" : "http", etcd->client_port);
                r = launch_etcd(etcd);
                if (r > 0 && WIFEXITED(r) && WEXITSTATUS(r) == 127) {
                        (void)fprintf(stderr,
                                      "etcd is not installed: put `etcd` (3.4 or later) into PATH, "
                                      "or set FLEET_TEST_NO_ETCD=1 to leave it out\n");
                        etcd_process_done(etcd);
                        return -1;
                }
        }
        if (r == 0 && guard == ETCD_USERS && !make_users(etcd))
                r = -1;
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
        const char *const words[] = { "compaction", "--physical", number, NULL };

        (void)snprintf(number, sizeof(number), "%lld", (long long)revision);
        if (!run_etcdctl(etcd, etcd->guard == ETCD_USERS, words)) {
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
