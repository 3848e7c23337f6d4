/* SPDX-License-Identifier: Apache-2.0 */

/* The configuration: its text, every value in it, and a variable of the environment (what stands
 * before the first NUL, if there is one). What is refused has a reason that says where, and leaves
 * nothing; what is accepted is accepted again, says the same, and can be put in force over the
 * defaults.
 */

#include <errno.h>
#include <stdio.h>

#include "fleetd/config.h"
#include "tests/fuzz/fuzz.h"

static const char path[] = "fleet.conf";

/* Reads a copy of the text: reading changes it. */
static int read_text(Config *ret_config, const char *text, size_t n_bytes, char *const *environment,
                     Diag *diag) {
        _cleanup_(strlist_done) StrList notices = { 0 };
        _cleanup_(freep) char *copy = calloc(1, n_bytes + 1);
        int r;

        fuzz_require(copy, "there is memory");
        memcpy(copy, text, n_bytes);
        r = config_read(ret_config, path, copy, n_bytes, environment, &notices, diag);
        fuzz_require(r == 0 || (r == -EINVAL && *diag->message), "a refusal has a reason");
        return r;
}

static void require_same(const Config *a, const Config *b) {
        _cleanup_(strlist_done) StrList changed = { 0 }, to_restart = { 0 };

        fuzz_require(config_compare(a, b, &changed, &to_restart) == 0, "there is memory");
        fuzz_require(changed.n_items == 0 && to_restart.n_items == 0,
                     "what reads the same is the same");
}

static void require_usable(Config *config, const char *text, size_t n_bytes,
                           char *const *environment) {
        _cleanup_(config_done) Config again = { 0 }, defaults = { 0 };
        _cleanup_(strlist_done) StrList changed = { 0 }, to_restart = { 0 };
        Diag diag = { 0 };

        fuzz_require(read_text(&again, text, n_bytes, environment, &diag) == 0,
                     "it is accepted again");
        require_same(config, &again);
        fuzz_require(config->store < _STORE_MODE_MAX, "the store is one that there is");
        fuzz_require(config->etcd_servers.n_items > 0 || !*config->etcd_cafile,
                     "who names a CA names a server");
        fuzz_require(config->agent_ttl_us >= 2000000, "a lease can be so short");
        fuzz_require(config->token_limit > 0, "a page has entries");
        fuzz_require(config->etcd_request_timeout > 0 && config->engine_reconcile_interval > 0,
                     "times are positive");

        fuzz_require(read_text(&defaults, "", 0, (char *const[]){ NULL }, &diag) == 0,
                     "the defaults are accepted");
        config_replace(&defaults, config);
        fuzz_require(config_compare(&defaults, &again, &changed, &to_restart) == 0,
                     "there is memory");
        fuzz_require(changed.n_items == 0, "what can change while it runs has changed");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        const uint8_t *end = n_bytes > 0 ? memchr(data, '\0', n_bytes) : NULL;
        size_t n_variable = end ? (size_t)(end - data) : 0, n_before = end ? n_variable + 1 : 0;
        _cleanup_(freep) char *variable = strndup((const char *)data, n_variable);
        _cleanup_(config_done) Config config = { 0 };
        char *environment[] = { variable, NULL };
        const char *text = (const char *)data + n_before;
        Diag diag = { 0 };

        fuzz_require(variable, "there is memory");
        n_bytes -= n_before;
        if (read_text(&config, text, n_bytes, environment, &diag) < 0) {
                fuzz_require(!config.etcd_username, "a refusal leaves nothing");
                return 0;
        }

        require_usable(&config, text, n_bytes, environment);
        return 0;
}
