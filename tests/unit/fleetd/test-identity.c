/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetd/identity.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

static char root[] = "/tmp/fleet-identity-XXXXXX";
static char machine_path[sizeof(root) + 32];

static void write_machine(const char *text) {
        FILE *file = fopen(machine_path, "w");

        ck_assert_ptr_nonnull(file);
        ck_assert_int_ge(fputs(text, file), 0);
        ck_assert_int_eq(fclose(file), 0);
}

/* The ID is the file's, without the white space around it. */
START_TEST(test_machine_id_is_trimmed) {
        _cleanup_(identity_done) Identity identity = { 0 };

        write_machine("  0123456789abcdef0123456789abcdef\n\n");
        ck_assert_int_eq(identity_read(&identity, root, NULL), 0);
        ck_assert_str_eq(identity.machine, "0123456789abcdef0123456789abcdef");
        ck_assert_ptr_nonnull(identity.hostname);
        ck_assert_ptr_null(identity.boot_id); /* there is no /proc below this root */
}
END_TEST

/* A machine without a usable ID is refused, with the file, what is wrong with it, and what to do.
 */
START_TEST(test_bad_machine_ids) {
        static const struct {
                const char *text, *part;
        } rows[] = {
                { "", "/etc/machine-id is empty, so this machine has no ID; run "
                      "systemd-machine-id-setup" },
                { " \n", "is empty" },
                { "uninitialized\n", "holds \"uninitialized\"" },
                { "0123456789abcdef0123456789abcde", "and not the 32 hexadecimal digits" },
                { "0123456789abcdef0123456789abcdef0", "and not the 32 hexadecimal digits" },
                { "0123456789ABCDEF0123456789abcdef", "and not the 32 hexadecimal digits" },
                { "0123456789abcdef/../../89abcdef0", "and not the 32 hexadecimal digits" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Identity identity = { 0 };
                Diag diag = { 0 };

                write_machine(rows[i].text);
                ck_assert_int_eq(identity_read(&identity, root, &diag), -EINVAL);
                ck_assert_msg(strstr(diag.message, rows[i].part), "\"%s\": %s", rows[i].text,
                              diag.message);
                ck_assert_str_eq(identity.machine, "");
        }

        ck_assert_int_eq(unlink(machine_path), 0);
        {
                Identity identity;
                Diag diag = { 0 };

                ck_assert_int_eq(identity_read(&identity, root, &diag), -ENOENT);
                ck_assert_ptr_nonnull(strstr(
                        diag.message, "No such file or directory; run systemd-machine-id-setup"));
        }
}
END_TEST

/* The interface is that of the default route with the lowest metric that is up and not a rejection.
 */
START_TEST(test_default_route) {
        static const char heading[] = "Iface\tDestination\tGateway "
                                      "\tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
        static const struct {
                const char *rows, *interface;
        } cases[] = {
                { "", NULL },
                { "eth0\t00004D0A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n", NULL },
                { "eth0\t00000000\t01004D0A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", "eth0" },
                { "wlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n"
                  "eth0\t00000000\t01004D0A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
                  "tun0\t00000000\t01004D0A\t0003\t0\t0\t200\t00000000\t0\t0\t0\n",
                  "eth0" },
                { "tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n",
                  NULL }, /* 0.0.0.0/1 of a VPN */
                { "eth0\t00000000\t01004D0A\t0002\t0\t0\t0\t00000000\t0\t0\t0\n", NULL }, /* down */
                { "*\t00000000\t00000000\t0200\t0\t0\t4294967295\t00000000\t0\t0\t0\n"
                  "eth1\t00000000\t01004D0A\t0003\t0\t0\t1024\t00000000\t0\t0\t0\n",
                  "eth1" }, /* the first is a rejection */
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(freep) char *interface = NULL;
                char text[1024];

                (void)snprintf(text, sizeof(text), "%s%s", heading, cases[i].rows);
                interface = default_route_interface(text);
                if (cases[i].interface)
                        ck_assert_str_eq(interface, cases[i].interface);
                else
                        ck_assert_ptr_null(interface);
        }
}
END_TEST

static int read_once(void *context) {
        _cleanup_(identity_done) Identity identity = { 0 };

        (void)context;
        return identity_read(&identity, "", NULL);
}

/* Without memory, reading fails and leaves nothing behind. */
START_TEST(test_survives_oom) {
        if (access("/etc/machine-id", R_OK) == 0)
                ck_assert_uint_gt(fault_sweep(read_once, NULL), 2);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_machine_id_is_trimmed, test_bad_machine_ids,
                                       test_default_route, test_survives_oom };
        char etc[sizeof(root) + 8];
        int code;

        if (!mkdtemp(root))
                return EXIT_FAILURE;
        (void)snprintf(etc, sizeof(etc), "%s/etc", root);
        (void)snprintf(machine_path, sizeof(machine_path), "%s/machine-id", etc);
        if (mkdir(etc, 0700) < 0)
                return EXIT_FAILURE;

        code = tests_run("identity", tests, ELEMENTSOF(tests));
        (void)unlink(machine_path);
        (void)rmdir(etc);
        (void)rmdir(root);
        return code;
}
