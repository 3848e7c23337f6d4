/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetctl/ask.h"

#include "lib/base/macro.h"
#include "tests/unit/fault.h"

/* ssh's question about a host's key is told from those for a secret, and worded as fleet 1.0 did. */
START_TEST(test_question) {
        static const char unknown[] =
                "The authenticity of host 'h (10.0.0.1)' can't be established.\n"
                "ED25519 key fingerprint is SHA256:abc.\n"
                "Are you sure you want to continue connecting (yes/no/[fingerprint])? ";
        Buf text = buf_make(1024);

        ck_assert(ask_is_host_key(unknown));
        ck_assert(ask_is_host_key("Are you sure you want to continue connecting (yes/no)? "));
        ck_assert(!ask_is_host_key("core@10.0.0.1's password: "));
        ck_assert(!ask_is_host_key("Enter passphrase for key '/root/.ssh/id_ed25519': "));
        ck_assert(!ask_is_host_key("Accept updated hostkeys? (yes/no): "));

        ck_assert_int_eq(ask_append_question(&text, unknown), 0);
        ck_assert_str_eq(text.data,
                         "The authenticity of host 'h (10.0.0.1)' can't be established.\n"
                         "ED25519 key fingerprint is SHA256:abc.\n"
                         "Are you sure you want to continue connecting (yes/no)? ");
        buf_clear(&text);
        ck_assert_int_eq(ask_append_question(&text, "Password: "), 0);
        ck_assert_str_eq(text.data, "Password: ");
        buf_done(&text);
}
END_TEST

/* yes and y store the key, a fingerprint does if it is the right one, all else does not. */
START_TEST(test_answer) {
        static const struct {
                const char *line;
                const char *answer;
        } cases[] = {
                { "yes", "yes" },
                { "YES", "yes" },
                { "y", "yes" },
                { "no", "no" },
                { "", "no" },
                { "yess", "no" },
                { " yes", "no" },
                { "SHA256:abc", "SHA256:abc" },
                { "MD5:aa:bb", "MD5:aa:bb" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ck_assert_str_eq(ask_answer(cases[i].line), cases[i].answer);
}
END_TEST

/* The program is the helper under that name only, wherever it is. */
START_TEST(test_helper_name) {
        ck_assert(ask_is_helper("/run/user/0/fleetctl-x/fleetctl-askpass"));
        ck_assert(!ask_is_helper("fleetctl-askpass"));
        ck_assert(!ask_is_helper("/usr/bin/fleetctl"));
        ck_assert(!ask_is_helper("fleetctl"));
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_question, test_answer, test_helper_name };

        return tests_run("ask", tests, ELEMENTSOF(tests));
}
