/* SPDX-License-Identifier: Apache-2.0 */

/* Percent-encoding (RFC 3986 section 2.1) and query parameters as forms encode them: '&' between,
 * '+' for a blank. A pair with a malformed escape counts as not sent, so that one bad parameter
 * does not hide the others. Works on any bytes; an encoded NUL is malformed, since the results are
 * strings.
 */

#include <assert.h>

#include "lib/http/http-server.h"

static int hex_value(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

static char *decode(const char *text, size_t n_bytes, bool plus_is_blank) {
        _cleanup_(freep) char *decoded = malloc(n_bytes + 1);
        size_t n = 0;

        if (!decoded)
                return NULL;

        for (size_t i = 0; i < n_bytes; i++) {
                int high, low;

                if (text[i] != '%') {
                        decoded[n++] = plus_is_blank && text[i] == '+' ? ' ' : text[i];
                        continue;
                }
                high = i + 2 < n_bytes ? hex_value(text[i + 1]) : -1;
                low = high >= 0 ? hex_value(text[i + 2]) : -1;
                if (low < 0 || (high == 0 && low == 0))
                        return NULL;
                decoded[n++] = (char)(high * 16 + low);
                i += 2;
        }

        decoded[n] = '\0';
        return TAKE(decoded);
}

char *http_path_decode(const char *segment, size_t n_bytes) {
        assert(segment);

        return decode(segment, n_bytes, false);
}

/* The value of the pair when it has this name, else NULL. */
static char *pair_value(const char *pair, size_t n_bytes, const char *name) {
        const char *equals = memchr(pair, '=', n_bytes);
        size_t n_name_bytes = equals ? (size_t)(equals - pair) : n_bytes;
        _cleanup_(freep) char *key = decode(pair, n_name_bytes, true);

        if (!key || !streq(key, name))
                return NULL;
        if (!equals)
                return strdup("");
        return decode(equals + 1, n_bytes - n_name_bytes - 1, true);
}

char *http_query_parameter(const char *query, const char *name, unsigned index) {
        const char *at = query;

        while (at && *at) {
                size_t n_bytes = strcspn(at, "&");
                char *value = n_bytes > 0 ? pair_value(at, n_bytes, name) : NULL;

                if (value && index-- == 0)
                        return value;
                free(value);
                at += n_bytes;
                at += *at == '&';
        }

        return NULL;
}

char *http_exchange_parameter(const HttpExchange *exchange, const char *name, unsigned index) {
        return http_query_parameter(http_exchange_query(exchange), name, index);
}
