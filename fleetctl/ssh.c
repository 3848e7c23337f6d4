/* SPDX-License-Identifier: Apache-2.0 */

/* Connections. A tunnel is one ssh in the background, the master; everything through it is another
 * ssh that shares its connection, so a person answers once and 8 requests at a time cost one login.
 * The master is a child that ends with us, and its socket is in the scratch folder.
 *
 * Each connection to the API is a channel of it: libcurl connects to a socket in the scratch folder,
 * and the other end becomes such an ssh's stdin and stdout. For a unix socket it runs "fleetctl
 * fd-forward SOCKET" there, for TCP it is a forwarding of ssh's own.
 */

#include "fleetctl/ssh.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fleetctl/ask.h"
#include "fleetctl/child.h"
#include "fleetctl/scratch.h"
#include "fleetctl/ssh-argv.h"
#include "fleetctl/unix-socket.h"

enum {
        SSH_FAILED = 255,             /* ssh's own exit code for its failures, ssh(1) */
        SHELL_NOT_FOUND = 127,        /* of a shell that does not find the program */
        CONFIG_MAX_BYTES = 64 * 1024, /* of the configuration file */
        CHANNEL_END_TICK_MS = 10,
        CHANNEL_END_TICKS = 50,
        CHANNELS_MAX = 64, /* remembered, to say how they ended */
};

struct Ssh {
        const Options *options; /* borrowed */
        SshHost tunnel;         /* .name is NULL where there is none */
        char *known_hosts_file; /* owned */
        Ask ask;
        pid_t master; /* 0 while there is none */
        HttpRelay relay;
        int api_fd;                   /* owned; where the relay listens, or -1 */
        pid_t channels[CHANNELS_MAX]; /* 0 = free */
        int channel_code;             /* exit code of the last channel that failed, or 0 */
};

/* --- paths */

static const char *home_of(const char *user, size_t n_bytes) {
        _cleanup_(freep) char *name = strndup(user, n_bytes);
        const char *home = n_bytes == 0 ? getenv("HOME") : NULL;
        const struct passwd *entry;

        if (home && home[0] != '\0')
                return home;
        entry = n_bytes == 0 ? getpwuid(getuid()) : name ? getpwnam(name) : NULL;
        return entry ? entry->pw_dir : NULL;
}

int ssh_expand_home(const char *text, char **ret_path, Diag *diag) {
        size_t n_user = text[0] == '~' ? strcspn(text + 1, "/") : 0;
        const char *home = "", *rest = text;

        if (text[0] == '~') {
                home = home_of(text + 1, n_user);
                rest = text + 1 + n_user;
        }
        if (!home)
                return diag_set(diag, -ENOENT, "no home directory is known for %s",
                                n_user > 0 ? text : "~");
        return asprintf(ret_path, "%s%s", home, rest) < 0 ? -ENOMEM : 0;
}

/* ssh makes the file but, except for ~/.ssh, not its folder. That this fails shows when ssh cannot
 * store a key, which it says. */
static void make_folder_of(const char *path) {
        _cleanup_(freep) char *folder = strdup(path);
        char *slash = folder ? strrchr(folder, '/') : NULL;

        if (!slash || slash == folder)
                return;
        *slash = '\0';
        (void)mkdir(folder, 0700);
}

/* --- one ssh */

static int write_config(const SshHost *const *hosts, size_t n_hosts, Diag *diag) {
        _cleanup_(buf_done) Buf text = buf_make(CONFIG_MAX_BYTES);
        const char *path = scratch_path(SCRATCH_CONFIG);
        const struct passwd *entry = getpwuid(getuid());
        ssize_t n;
        int fd, r;

        r = ssh_config_text(entry ? entry->pw_dir : NULL, hosts, n_hosts, &text);
        if (r < 0)
                return r;
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        n = fd < 0 ? -1 : write(fd, text.data, text.n_bytes);
        r = n == (ssize_t)text.n_bytes ? 0 : n < 0 ? -errno : -ENOSPC;
        if (fd >= 0)
                (void)close(fd);
        return r < 0 ? diag_set(diag, r, "unable to write %s: %s", path, strerror(-r)) : 0;
}

/* What every call has from the flags. */
static SshCall ssh_call(const Ssh *ssh, SshPurpose purpose, const SshHost *host) {
        return (SshCall){
                .purpose = purpose,
                .host = host,
                .user = ssh->options->ssh_username,
                .config_file = scratch_path(SCRATCH_CONFIG),
                .known_hosts_file = ssh->known_hosts_file,
                .any_host_key = !ssh->options->strict_host_key_checking,
                .timeout_ms = ssh->options->ssh_timeout_ms,
        };
}

/* argv with the NULL that exec wants; borrowed from `list` but for the array. */
static int argv_of(const StrList *list, char ***ret_argv) {
        *ret_argv = calloc(list->n_items + 1, sizeof(char *));
        if (!*ret_argv)
                return -ENOMEM;
        memcpy(*ret_argv, list->items, list->n_items * sizeof(char *));
        return 0;
}

static int ssh_start(const SshCall *call, ChildSpec *spec, pid_t *ret_pid, Diag *diag) {
        _cleanup_(strlist_done) StrList list = { 0 };
        _cleanup_(freep) char **argv = NULL;
        int r;

        r = ssh_argv(call, &list);
        if (r == 0)
                r = argv_of(&list, &argv);
        if (r < 0)
                return r == -ENOBUFS ? diag_set(diag, -E2BIG,
                                                "the command for %s is longer than %d bytes",
                                                call->host->name, SSH_TEXT_MAX_BYTES)
                                     : r;
        spec->argv = argv;
        spec->environment = ask_environment();
        return child_start(spec, ret_pid, diag);
}

/* --- life */

int ssh_new(const Options *options, Ssh **ret_ssh, Diag *diag) {
        _cleanup_(ssh_freep) Ssh *ssh = calloc(1, sizeof(*ssh));
        int r;

        if (!ssh)
                return -ENOMEM;
        ssh->options = options;
        ssh->api_fd = -1;
        ssh->ask = ASK_CLOSED;

        if (options->tunnel && options->tunnel[0] != '\0') {
                r = ssh_host_parse(options->tunnel, &ssh->tunnel, diag);
                if (r < 0)
                        return diag_wrap(diag, r, "--tunnel");
        }
        r = ssh_expand_home(options->known_hosts_file, &ssh->known_hosts_file, diag);
        if (r < 0)
                return diag_wrap(diag, r, "--known-hosts-file");
        if (options->strict_host_key_checking)
                make_folder_of(ssh->known_hosts_file);

        r = scratch_open(diag);
        if (r == 0)
                r = ask_open(&ssh->ask, diag);
        if (r < 0)
                return r;
        *ret_ssh = TAKE(ssh);
        return 0;
}

static void end_child(pid_t pid) {
        if (pid <= 0)
                return;
        (void)kill(pid, SIGTERM);
        (void)waitpid(pid, NULL, 0);
}

Ssh *ssh_free(Ssh *ssh) {
        if (!ssh)
                return NULL;
        for (size_t i = 0; i < CHANNELS_MAX; i++)
                end_child(ssh->channels[i]);
        end_child(ssh->master);
        if (ssh->api_fd >= 0)
                (void)close(ssh->api_fd);
        ask_close(&ssh->ask);
        scratch_close();
        ssh_host_done(&ssh->tunnel);
        free(ssh->known_hosts_file);
        free(ssh);
        return NULL;
}

/* --- the tunnel */

static int no_connection(const char *host, Diag *diag) {
        return diag_set(diag, -EHOSTUNREACH,
                        "no SSH connection to %s; the cause is told above by ssh, and 'ssh -v %s' "
                        "tells more",
                        host, host);
}

int ssh_open_tunnel(Ssh *ssh, Diag *diag) {
        const SshHost *hosts[] = { &ssh->tunnel };
        SshCall call = ssh_call(ssh, SSH_MASTER, &ssh->tunnel);
        ChildSpec spec = {
                .stdin_fd = -1, .stdout_fd = STDERR_FILENO, .stderr_fd = -1, .ends_with_us = true
        };
        ChildWait wait = { .ask = &ssh->ask, .ready_file = scratch_path(SCRATCH_MASTER) };
        int r;

        assert(ssh->tunnel.name);

        if (ssh->master > 0)
                return 0;
        r = write_config(hosts, ELEMENTSOF(hosts), diag);
        if (r < 0)
                return r;
        call.control_path = wait.ready_file;
        r = ssh_start(&call, &spec, &wait.pid, diag);
        if (r < 0)
                return r;
        r = child_wait(&wait);
        if (r < 0)
                return r;
        if (r != CHILD_READY)
                return no_connection(ssh->tunnel.name, diag);
        ssh->master = wait.pid;

        r = unix_socket_listen(scratch_path(SCRATCH_API), &ssh->api_fd);
        return r < 0 ? diag_set(diag, r, "unable to listen at %s: %s", scratch_path(SCRATCH_API),
                                strerror(-r))
                     : 0;
}

/* Notice which channels have ended, and how. */
static void reap_channels(Ssh *ssh) {
        for (size_t i = 0; i < CHANNELS_MAX; i++) {
                int status;

                if (ssh->channels[i] == 0 || waitpid(ssh->channels[i], &status, WNOHANG) == 0)
                        continue;
                ssh->channels[i] = 0;
                if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
                        ssh->channel_code = WEXITSTATUS(status);
        }
}

static pid_t *free_channel(Ssh *ssh) {
        reap_channels(ssh);
        for (size_t i = 0; i < CHANNELS_MAX; i++)
                if (ssh->channels[i] == 0)
                        return &ssh->channels[i];
        return NULL;
}

static int start_channel(Ssh *ssh, const Endpoint *endpoint, int fd, pid_t *ret_pid, Diag *diag) {
        _cleanup_(buf_done) Buf text = buf_make(SSH_TEXT_MAX_BYTES);
        SshCall call = ssh_call(ssh, endpoint->socket_path ? SSH_CHANNEL : SSH_FORWARD,
                                &ssh->tunnel);
        ChildSpec spec = { .stdin_fd = fd, .stdout_fd = fd, .stderr_fd = -1, .ends_with_us = true };
        int r;

        call.control_path = scratch_path(SCRATCH_MASTER);
        if (endpoint->socket_path) {
                r = buf_append_string(&text, "fleetctl fd-forward ");
                if (r == 0)
                        r = shell_quote(&text, endpoint->socket_path);
                call.command = text.data;
        } else {
                r = endpoint_append_target(endpoint, &text);
                call.target = text.data;
        }
        return r < 0 ? r : ssh_start(&call, &spec, ret_pid, diag);
}

static int serve(HttpRelay *relay, const Endpoint *endpoint, Diag *diag) {
        Ssh *ssh = container_of(relay, Ssh, relay);
        pid_t *channel;
        int fd, r = 0;

        while (r == 0 && (channel = free_channel(ssh))) {
                fd = accept4(ssh->api_fd, NULL, NULL, SOCK_CLOEXEC);
                if (fd < 0)
                        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
                r = start_channel(ssh, endpoint, fd, channel, diag);
                (void)close(fd);
                if (r < 0)
                        *channel = 0;
        }
        return r;
}

/* A connection ends when its ssh does, or a moment before. */
static void wait_for_channel(Ssh *ssh) {
        for (int i = 0; i < CHANNEL_END_TICKS && ssh->channel_code == 0; i++) {
                reap_channels(ssh);
                if (ssh->channel_code == 0)
                        (void)poll(NULL, 0, CHANNEL_END_TICK_MS);
        }
}

static int explain(HttpRelay *relay, const Endpoint *endpoint, const char *cause, Diag *diag) {
        Ssh *ssh = container_of(relay, Ssh, relay);
        const char *host = ssh->tunnel.name;

        wait_for_channel(ssh);
        if (ssh->master > 0 && waitpid(ssh->master, NULL, WNOHANG) != 0) {
                ssh->master = 0;
                return diag_set(diag, -ENOTCONN, "the SSH connection to %s was lost", host);
        }
        if (ssh->channel_code == SHELL_NOT_FOUND && endpoint->socket_path)
                return diag_set(
                        diag, -ENOENT,
                        "unable to talk to fleet at %s on %s: fleetctl was not found there; "
                        "install it on %s, or name a TCP endpoint with --endpoint",
                        endpoint->text, host, host);
        return diag_set(diag, -EHOSTUNREACH,
                        "unable to talk to fleet at %s through %s: %s; check that fleetd listens "
                        "there, and that the SSH user may connect to it",
                        endpoint->text, host, cause);
}

HttpRelay *ssh_relay(Ssh *ssh) {
        ssh->relay = (HttpRelay){
                .socket_path = scratch_path(SCRATCH_API),
                .serve = serve,
                .explain = explain,
        };
        return &ssh->relay;
}

/* --- jobs */

/* Start it and wait for its end. */
static int run_call(Ssh *ssh, const SshCall *call, const SshJob *job, Diag *diag) {
        ChildSpec spec = { .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1 };
        ChildWait wait = { .ask = &ssh->ask };
        int r;

        if (job->leaves_stdin) {
                spec.stdin_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
                if (spec.stdin_fd < 0)
                        return -errno;
        }
        r = ssh_start(call, &spec, &wait.pid, diag);
        if (spec.stdin_fd >= 0)
                (void)close(spec.stdin_fd);
        if (r == 0)
                r = child_wait(&wait);
        if (r < 0)
                return r;
        if (access(call->marker, F_OK) == 0)
                return job->command ? wait.code : 0;
        return wait.code == SSH_FAILED ? no_connection(job->address, diag) : wait.code;
}

int ssh_run(Ssh *ssh, const SshJob *job, Diag *diag) {
        const SshHost host = { .name = (char *)job->address, .port = job->port };
        const SshHost *hosts[] = { &host, &ssh->tunnel };
        SshCall call = ssh_call(ssh, SSH_SESSION, &host);
        int r;

        r = ssh_host_check(job->address, diag);
        if (r == 0 && ssh->tunnel.name) {
                r = ssh_open_tunnel(ssh, diag);
                call.via = &ssh->tunnel;
                call.control_path = scratch_path(SCRATCH_MASTER);
        }
        if (r == 0)
                r = write_config(hosts, ssh->tunnel.name ? 2 : 1, diag);
        if (r < 0)
                return r;

        call.command = job->command;
        call.forward_agent = job->forward_agent;
        call.has_terminal = job->has_terminal;
        call.marker = scratch_path(SCRATCH_CONNECTED);
        (void)unlink(call.marker);
        return run_call(ssh, &call, job, diag);
}
