/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetctl/ssh-argv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

/* --tunnel HOST[:PORT]: 22, or what ssh's configuration says, when no port is given; IPv6 addresses
 * have brackets where a port follows. */
START_TEST(test_host) {
        static const struct {
                const char *text;
                const char *name;
                uint32_t port;
        } cases[] = {
                { "bastion", "bastion", 0 },
                { "bastion.example.org:2222", "bastion.example.org", 2222 },
                { "10.0.0.1:65535", "10.0.0.1", 65535 },
                { "[fd00::1]:22", "fd00::1", 22 },
                { "[fd00::1]", "fd00::1", 0 },
                { "fd00::1", "fd00::1", 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                SshHost host = { 0 };

                ck_assert_int_eq(ssh_host_parse(cases[i].text, &host, NULL), 0);
                ck_assert_str_eq(host.name, cases[i].name);
                ck_assert_uint_eq(host.port, cases[i].port);
                ssh_host_done(&host);
        }
}
END_TEST

/* What ssh or a shell would take for something else than a host is refused, with the reason. */
START_TEST(test_host_refused) {
        static const struct {
                const char *text;
                const char *message;
        } cases[] = {
                { "core@bastion",
                  "\"core@bastion\" is no host: the user is named with --ssh-username" },
                { "-oProxyCommand=reboot",
                  "\"-oProxyCommand=reboot\" is no name or address of a host" },
                { "a b", "\"a b\" is no name or address of a host" },
                { "a;reboot", "\"a;reboot\" is no name or address of a host" },
                { "$(reboot)", "\"$(reboot)\" is no name or address of a host" },
                { "*", "\"*\" is no name or address of a host" },
                { "", "\"\" is no name or address of a host" },
                { ":22", "\"\" is no name or address of a host" },
                { "[::1]x", "\"\" is no name or address of a host" },
                { "h:0", "\"h:0\" names no port from 1 to 65535: HOST[:PORT]" },
                { "h:65536", "\"h:65536\" names no port from 1 to 65535: HOST[:PORT]" },
                { "h:", "\"h:\" names no port from 1 to 65535: HOST[:PORT]" },
                { "h:2x", "\"h:2x\" names no port from 1 to 65535: HOST[:PORT]" },
                { "h:99999999999999999999",
                  "\"h:99999999999999999999\" names no port from 1 to 65535: HOST[:PORT]" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                SshHost host = { 0 };
                Diag diag = { 0 };

                ck_assert_int_eq(ssh_host_parse(cases[i].text, &host, &diag), -EINVAL);
                ck_assert_str_eq(diag.message, cases[i].message);
                ck_assert_ptr_null(host.name);
        }
}
END_TEST

static StrList list_of(const char *const *words) {
        StrList list = { 0 };

        for (; *words; words++)
                ck_assert_int_eq(strlist_add(&list, *words), 0);
        return list;
}

/* Words that a shell would change are quoted, the others stay readable. */
START_TEST(test_quoting) {
        static const struct {
                const char *words[5];
                const char *text;
        } cases[] = {
                { { "systemctl", "status", "-l", "a@b.service" },
                  "systemctl status -l a@b.service" },
                { { "a b", "", "~" }, "'a b' '' '~'" },
                { { "it's", "$(x)", "a\\x2db" }, "'it'\\''s' '$(x)' 'a\\x2db'" },
                { { "'" }, "''\\'''" },
                { { NULL }, NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                StrList list = list_of(cases[i].words);
                Buf text = buf_make(1024);

                ck_assert_int_eq(shell_quote_all(&text, &list), 0);
                ck_assert_pstr_eq(text.data, cases[i].text);
                strlist_done(&list);
                buf_done(&text);
        }
}
END_TEST

/* A real shell reads each byte as it was. */
START_TEST(test_quoting_by_shell) {
        Buf command = buf_make(4096), said = buf_make(4096), expected = buf_make(4096);
        char bytes[256];
        FILE *shell;
        size_t n;

        ck_assert_int_eq(buf_append_string(&command, "printf %s "), 0);
        for (int c = 1; c < 256; c++)
                ck_assert_int_eq(buf_append(&expected, &(char){ (char)c }, 1), 0);
        ck_assert_int_eq(shell_quote(&command, expected.data), 0);

        shell = popen(command.data, "r");
        ck_assert_ptr_nonnull(shell);
        while ((n = fread(bytes, 1, sizeof(bytes), shell)) > 0)
                ck_assert_int_eq(buf_append(&said, bytes, n), 0);
        ck_assert_int_eq(pclose(shell), 0);
        ck_assert_uint_eq(said.n_bytes, 255);
        ck_assert_mem_eq(said.data, expected.data, 255);

        buf_done(&command);
        buf_done(&said);
        buf_done(&expected);
}
END_TEST

/* argv as one text, the words between bars. */
static char *argv_text(const SshCall *call) {
        Buf text = buf_make(64 * 1024);
        StrList argv = { 0 };

        ck_assert_int_eq(ssh_argv(call, &argv), 0);
        for (size_t i = 0; i < argv.n_items; i++)
                ck_assert_int_eq(buf_printf(&text, "%s%s", i > 0 ? "|" : "", argv.items[i]), 0);
        strlist_done(&argv);
        return buf_take_string(&text);
}

static const SshHost machine = { .name = (char *)"10.0.0.1" };
static const SshHost bastion = { .name = (char *)"bastion", .port = 2222 };

static SshCall session(void) {
        return (SshCall){
                .purpose = SSH_SESSION,
                .host = &machine,
                .config_file = "/s/config",
                .known_hosts_file = "/k",
                .timeout_ms = 10000,
                .command = "true",
        };
}

#define CHECKED "-o|StrictHostKeyChecking=ask|-o|UserKnownHostsFile=\"/k\""

/* Each flag becomes what OpenSSH calls it; what was not given is left to its configuration. */
START_TEST(test_session) {
        SshCall calls[9];
        static const char *const expected[ELEMENTSOF(calls)] = {
                "ssh|-F|/s/config|" CHECKED "|-o|ConnectTimeout=10|-T|-o|RemoteCommand=none|--|"
                "10.0.0.1|true",
                "ssh|-F|/s/config|" CHECKED "|-o|ConnectTimeout=10|-t|--|10.0.0.1",
                "ssh|-F|/s/config|" CHECKED "|-o|ConnectTimeout=10|-l|-x y|-T|-o|"
                "RemoteCommand=none|--|10.0.0.1|true",
                "ssh|-F|/s/config|" CHECKED "|-o|ConnectTimeout=1|-T|-o|RemoteCommand=none|--|"
                "10.0.0.1|true",
                "ssh|-F|/s/config|" CHECKED "|-o|ConnectTimeout=10|-p2222|-T|-o|"
                "RemoteCommand=none|--|bastion|true",
                "ssh|-F|/s/config|-o|StrictHostKeyChecking=no|-o|UserKnownHostsFile=/dev/null|-o|"
                "GlobalKnownHostsFile=/dev/null|-o|LogLevel=ERROR|-o|ConnectTimeout=10|-T|-o|"
                "RemoteCommand=none|--|10.0.0.1|true",
                "ssh|-F|/s/config|" CHECKED "|-o|ConnectTimeout=10|-T|-A|-o|RemoteCommand=none|--|"
                "10.0.0.1|true",
                "ssh|-F|/s/config|" CHECKED "|-o|ConnectTimeout=10|-T|-o|PermitLocalCommand=yes|"
                "-o|LocalCommand=touch '/100%%/it'\\''s'|-o|RemoteCommand=none|--|10.0.0.1|true",
                "ssh|-F|/s/config|-o|StrictHostKeyChecking=ask|-o|"
                "UserKnownHostsFile=\"/a b\\\"\\\\%%\"|-o|ConnectTimeout=10|-T|-o|"
                "RemoteCommand=none|--|10.0.0.1|--version",
        };

        for (size_t i = 0; i < ELEMENTSOF(calls); i++)
                calls[i] = session();
        calls[1].command = NULL;
        calls[1].has_terminal = true;
        calls[2].user = "-x y";
        calls[3].timeout_ms = 1;
        calls[4].host = &bastion;
        calls[5].any_host_key = true;
        calls[6].forward_agent = true;
        calls[7].marker = "/100%/it's";
        calls[8].known_hosts_file = "/a b\"\\%";
        calls[8].command = "--version";

        for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                _cleanup_(freep) char *text = argv_text(&calls[i]);

                ck_assert_str_eq(text, expected[i]);
        }
}
END_TEST

/* Through a tunnel: the tunnel gets the same user, key check and time limit; what goes over it
 * never connects or asks by itself. */
START_TEST(test_tunnel) {
        SshCall calls[4];
        static const char *const expected[ELEMENTSOF(calls)] = {
                "ssh|-F|/s/config|" CHECKED "|-o|ConnectTimeout=10|-l|root|-p2222|-N|-o|"
                "ControlMaster=yes|-o|ControlPersist=no|-o|RemoteCommand=none|-o|"
                "ClearAllForwardings=yes|-o|ForwardAgent=no|-o|ForwardX11=no|-o|"
                "PermitLocalCommand=no|-o|ControlPath=\"/s/master\"|--|bastion",
                "ssh|-F|/s/config|-o|ControlMaster=no|-o|BatchMode=yes|-o|ProxyCommand=false|-o|"
                "RemoteCommand=none|-o|LogLevel=ERROR|-o|ControlPath=\"/s/master\"|-T|--|bastion|"
                "fleetctl fd-forward '/x'",
                "ssh|-F|/s/config|-o|ControlMaster=no|-o|BatchMode=yes|-o|ProxyCommand=false|-o|"
                "RemoteCommand=none|-o|LogLevel=ERROR|-o|ControlPath=\"/s/master\"|-W|api:80|--|"
                "bastion",
                "ssh|-F|/s/config|" CHECKED "|-o|ConnectTimeout=10|-l|root|-T|-o|"
                "ProxyCommand='ssh' '-F' '/s/config' '-o' 'ControlMaster=no' '-o' 'BatchMode=yes' "
                "'-o' 'ProxyCommand=false' '-o' 'RemoteCommand=none' '-o' 'LogLevel=ERROR' '-o' "
                "'ControlPath=\"/s/master\"' '-W' [%h]:%p '--' 'bastion' |-o|RemoteCommand=none|--|"
                "10.0.0.1|true",
        };

        for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                calls[i] = session();
                calls[i].user = "root";
                calls[i].control_path = "/s/master";
                calls[i].host = &bastion;
        }
        calls[0].purpose = SSH_MASTER;
        calls[0].command = NULL;
        calls[1].purpose = SSH_CHANNEL;
        calls[1].command = "fleetctl fd-forward '/x'";
        calls[2].purpose = SSH_FORWARD;
        calls[2].command = NULL;
        calls[2].target = "api:80";
        calls[3].host = &machine;
        calls[3].via = &bastion;

        for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                _cleanup_(freep) char *text = argv_text(&calls[i]);

                ck_assert_str_eq(text, expected[i]);
        }
}
END_TEST

/* The default user stands behind everything that is configured, and only for these hosts. */
START_TEST(test_config) {
        const SshHost *const hosts[] = { &machine, &bastion };
        Buf text = buf_make(1024);

        ck_assert_int_eq(ssh_config_text("/home/a \"b*", hosts, 2, &text), 0);
        ck_assert_str_eq(text.data, "Include \"/home/a \\\"b\\*/.ssh/config\"\n"
                                    "Include \"/etc/ssh/ssh_config\"\n"
                                    "Host 10.0.0.1 bastion\n    User core\n");
        buf_clear(&text);
        ck_assert_int_eq(ssh_config_text(NULL, hosts, 1, &text), 0);
        ck_assert_str_eq(text.data, "Include \"/etc/ssh/ssh_config\"\n"
                                    "Host 10.0.0.1\n    User core\n");
        buf_done(&text);
}
END_TEST

static int build(void *context) {
        StrList argv = { 0 };
        SshCall call = session();
        int r;

        (void)context;
        call.via = &bastion;
        call.control_path = "/m";
        call.marker = "/x";
        r = ssh_argv(&call, &argv);
        strlist_done(&argv);
        return r;
}

/* Without memory it fails and leaks nothing. */
START_TEST(test_survives_oom) {
        ck_assert_uint_ge(fault_sweep(build, NULL), 20);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_host,    test_host_refused,
                                       test_quoting, test_quoting_by_shell,
                                       test_session, test_tunnel,
                                       test_config,  test_survives_oom };

        return tests_run("ssh-argv", tests, ELEMENTSOF(tests));
}
