/* SPDX-License-Identifier: Apache-2.0 */

/* The readers of configuration values. What fleet 1.0 ignored silently when it could not make sense
 * of it (contract section 8) is an error here: a machine that runs with another configuration than
 * its admin wrote is worse than one that says so at once.
 */

#include "fleetd/config-value.h"
#include "fleetd/config.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "engine/evict.h"
#include "fleetd/duration.h"
#include "lib/base/env.h"
#include "lib/base/macro.h"
#include "lib/base/strlist.h"
#include "lib/model/metadata.h"
#include "lib/serve/serve.h"
#include "lib/store/store-etcd-endpoints.h"
#include "lib/store/store.h"

enum {
        VERBOSITY_MAX = 100,
        DAY_S = 86400,
        PREFIX_MAX_BYTES =
                255, /* the registry allows 256, and adds a slash at the end where there is none */
};

static const double SECONDS_MIN = 0.1;

static int replace_string(char **target, const char *text) {
        char *copy = strdup(text);

        if (!copy)
                return -ENOMEM;

        free(*target);
        *target = copy;
        return 0;
}

int config_value_bool(const char *text, void *target, Diag *diag) {
        static const char *const words[] = { "true",  "yes", "on",  "1", "t",
                                             "false", "no",  "off", "0", "f" };

        for (size_t i = 0; i < ELEMENTSOF(words); i++) {
                if (strcasecmp(text, words[i]) == 0) {
                        *(bool *)target = i < ELEMENTSOF(words) / 2;
                        return 0;
                }
        }
        return diag_set(diag, -EINVAL, "\"%s\" is neither true nor false", text);
}

/* Read a whole decimal number. */
static int read_integer(const char *text, long min, long max, long *ret_number, Diag *diag) {
        char *end;
        long number;

        errno = 0;
        number = strtol(text, &end, 10);
        if (end == text || *end || isspace((unsigned char)*text))
                return diag_set(diag, -EINVAL, "\"%s\" is not a whole number", text);
        if (errno || number < min || number > max)
                return diag_set(diag, -EINVAL, "%s is not in the range from %ld to %ld", text, min,
                                max);

        *ret_number = number;
        return 0;
}

int config_value_store(const char *text, void *target, Diag *diag) {
        static const char *const names[_STORE_MODE_MAX] = {
                [STORE_MODE_AUTO] = "auto",
                [STORE_MODE_BUILTIN] = "builtin",
                [STORE_MODE_ETCD] = "etcd",
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (streq(text, names[i])) {
                        *(StoreMode *)target = (StoreMode)i;
                        return 0;
                }
        return diag_set(diag, -EINVAL, "\"%s\" is none of auto, builtin and etcd", text);
}

int config_value_verbosity(const char *text, void *target, Diag *diag) {
        long number;
        int r;

        r = read_integer(text, 0, VERBOSITY_MAX, &number, diag);
        if (r < 0)
                return r;

        *(int *)target = (int)number;
        return 0;
}

int config_value_page_size(const char *text, void *target, Diag *diag) {
        long number;
        int r;

        r = read_integer(text, 1, UINT16_MAX, &number, diag);
        if (r < 0)
                return r;

        *(uint16_t *)target = (uint16_t)number;
        return 0;
}

int config_value_evictions(const char *text, void *target, Diag *diag) {
        size_t n_bytes = strlen(text);
        bool is_percent = n_bytes > 0 && text[n_bytes - 1] == '%';
        char digits[16];
        long number;
        int r;

        if (is_percent)
                n_bytes--;
        if (n_bytes == 0 || n_bytes >= sizeof(digits))
                return diag_set(diag, -EINVAL,
                                "\"%s\" is neither a number of machines nor a share of them (33%%)",
                                text);

        memcpy(digits, text, n_bytes);
        digits[n_bytes] = '\0';
        r = read_integer(digits, is_percent, is_percent ? 100 : UINT16_MAX, &number, diag);
        if (r < 0)
                return r;

        *(EvictRule *)target = is_percent ? (EvictRule){ .percent = (unsigned)number }
                                          : (EvictRule){ .count = (unsigned)number };
        return 0;
}

int config_value_seconds(const char *text, void *target, Diag *diag) {
        double number;
        char *end;

        number = strtod(text, &end);
        if (end == text || *end || isspace((unsigned char)*text))
                return diag_set(diag, -EINVAL, "\"%s\" is not a number of seconds", text);
        if (!isfinite(number) || number < SECONDS_MIN || number > DAY_S)
                return diag_set(diag, -EINVAL,
                                "%s seconds are not in the range from 0.1 seconds to a day", text);

        *(double *)target = number;
        return 0;
}

/* A duration in a range up to a day; `least` says it in words. */
static int parse_duration(const char *text, uint64_t least_us, const char *least, uint64_t *ret_us,
                          Diag *diag) {
        uint64_t us;
        int r;

        r = duration_parse(text, &us);
        if (r == -EINVAL)
                return diag_set(diag, -EINVAL,
                                "\"%s\" is not a duration such as 15s, 1m30s or 2500ms", text);
        if (r < 0 || us < least_us || us > (uint64_t)DAY_S * US_PER_S)
                return diag_set(diag, -EINVAL, "%s is not in the range from %s to 24h", text,
                                least);

        *ret_us = us;
        return 0;
}

int config_value_ttl(const char *text, void *target, Diag *diag) {
        static_assert(STORE_LEASE_TTL_MIN_S == 2, "as the message says");

        return parse_duration(text, (uint64_t)STORE_LEASE_TTL_MIN_S * US_PER_S,
                              "2s, the shortest lease that etcd grants,", target, diag);
}

int config_value_duration(const char *text, void *target, Diag *diag) {
        return parse_duration(text, 0, "0", target, diag);
}

int config_value_string(const char *text, void *target, Diag *diag) {
        (void)diag;
        return replace_string(target, text);
}

int config_value_address(const char *text, void *target, Diag *diag) {
        struct in6_addr address;

        if (*text && inet_pton(AF_INET, text, &address) != 1 &&
            inet_pton(AF_INET6, text, &address) != 1)
                return diag_set(diag, -EINVAL, "\"%s\" is neither an IPv4 nor an IPv6 address",
                                text);
        return replace_string(target, text);
}

int config_value_path(const char *text, void *target, Diag *diag) {
        if (*text != '/')
                return diag_set(diag, -EINVAL, "\"%s\" is not an absolute path", text);
        return replace_string(target, text);
}

int config_value_optional_path(const char *text, void *target, Diag *diag) {
        return *text ? config_value_path(text, target, diag) : replace_string(target, text);
}

int config_value_prefix(const char *text, void *target, Diag *diag) {
        if (*text == '\0' || strlen(text) > PREFIX_MAX_BYTES)
                return diag_set(diag, -EINVAL, "it must have 1 to %d characters, and has %zu",
                                PREFIX_MAX_BYTES, strlen(text));
        for (const char *c = text; *c; c++)
                if (*c <= ' ' || *c > '~')
                        return diag_set(
                                diag, -EINVAL,
                                "\"%s\" holds a blank or a character outside of printable ASCII",
                                text);
        return replace_string(target, text);
}

/* Where the item of a list that begins at `text` ends: at a comma or the end. */
static const char *item_end(const char *text) {
        return text + strcspn(text, ",");
}

/* Add the items of a comma list without what may stand around them. */
static int split_list(const char *text, const char *around, StrList *list) {
        for (;;) {
                const char *end = item_end(text), *start = text + strspn(text, around);
                const char *last = end;
                int r;

                /* An IPv6 address in brackets is never at the end: a port follows. */
                while (last > start && strchr(around, last[-1]))
                        last--;
                if (last > start) {
                        r = strlist_add_bytes(list, start, (size_t)(last - start));
                        if (r < 0)
                                return r;
                }
                if (*end == '\0')
                        return 0;
                text = end + 1;
        }
}

int config_value_endpoints(const char *text, void *target, Diag *diag) {
        _cleanup_(strlist_done) StrList list = { 0 };
        EtcdEndpoints endpoints = { 0 };
        int r;

        if (!*text) {
                strlist_done(target);
                return 0;
        }

        r = split_list(text, " \t\"'[]", &list);
        if (r < 0)
                return r;
        if (list.n_items == 0)
                return diag_set(diag, -EINVAL,
                                "no server is named; write http://HOST:2379 or https://HOST:2379");
        r = etcd_endpoints_init(&endpoints, &list, env_system(), diag);
        if (r < 0)
                return r;

        etcd_endpoints_done(&endpoints);
        strlist_done(target);
        *(StrList *)target = list;
        list = (StrList){ 0 };
        return 0;
}

int config_value_listen(const char *text, void *target, Diag *diag) {
        _cleanup_(strlist_done) StrList list = { 0 };
        int r = split_list(text, " \t", &list);

        for (size_t i = 0; r == 0 && i < list.n_items; i++) {
                ServeAddress address;

                r = serve_address_parse(list.items[i], &address, diag);
        }
        if (r < 0)
                return r;

        strlist_done(target);
        *(StrList *)target = list;
        list = (StrList){ 0 };
        return 0;
}

int config_value_metadata(const char *text, void *target, Diag *diag) {
        Metadata metadata = { 0 };
        int r;

        r = metadata_parse(text, &metadata, diag);
        if (r < 0)
                return r;

        metadata_done(target);
        *(Metadata *)target = metadata;
        return 0;
}
