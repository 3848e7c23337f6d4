/* SPDX-License-Identifier: Apache-2.0 */

/* Page tokens (contract section 4.4; docs/api.md).
 *
 * Fleet 1.0's token is base64 (RFC 4648 section 5, padded) of two little-endian uint16, limit and
 * page, and counts entries from the start of a list that changes meanwhile. Ours goes on with an
 * int64, the revision at which the list is read, and the last key of the page before, so that
 * nothing is skipped or repeated; the page number is then only there to be valid. Both are
 * accepted.
 */

#include <assert.h>
#include <errno.h>

#include "api/api-private.h"

enum {
        TOKEN_SHORT_BYTES = 4,     /* limit, page */
        TOKEN_HEAD_BYTES = 12,     /* and revision */
        TOKEN_KEY_MAX_BYTES = 520, /* a unit name, a slash, a machine ID */
        TOKEN_MAX_CHARS = (TOKEN_HEAD_BYTES + TOKEN_KEY_MAX_BYTES + 2) / 3 * 4,
};

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void page_token_done(PageToken *token) {
        free(token->after);
        *token = (PageToken){ 0 };
}

static char *base64_encode(const uint8_t *bytes, size_t n_bytes) {
        char *text = malloc((n_bytes + 2) / 3 * 4 + 1), *out = text;

        if (!text)
                return NULL;

        for (size_t i = 0; i < n_bytes; i += 3) {
                size_t n = n_bytes - i < 3 ? n_bytes - i : 3;
                uint32_t bits = (uint32_t)bytes[i] << 16 |
                                (n > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                                (n > 2 ? bytes[i + 2] : 0);

                *out++ = alphabet[bits >> 18];
                *out++ = alphabet[bits >> 12 & 63];
                *out++ = n > 1 ? alphabet[bits >> 6 & 63] : '=';
                *out++ = n > 2 ? alphabet[bits & 63] : '=';
        }
        *out = '\0';
        return text;
}

/* Does what is behind the data of a base64 text complete it? On error -EINVAL, and the byte that
 * Go's decoder names. */
static int check_padding(const char *text, size_t n_data, size_t n_chars, size_t *ret_error_at) {
        size_t n_in_group = n_data % 4, end = n_data;

        if (n_data == n_chars) {
                *ret_error_at = n_data - n_in_group;
                return n_in_group == 0 ? 0 : -EINVAL;
        }
        *ret_error_at = n_data;
        if (n_in_group < 2)
                return -EINVAL;
        if (n_in_group == 2 && text[++end] != '=') {
                *ret_error_at = end == n_chars ? n_chars : n_data;
                return -EINVAL;
        }
        *ret_error_at = ++end;
        return end == n_chars ? 0 : -EINVAL;
}

/* Decode into `ret_bytes`, which has room for 3/4 of the text. On error -EINVAL, and where. */
static int base64_decode(const char *text, uint8_t *ret_bytes, size_t *ret_n_bytes,
                         size_t *ret_error_at) {
        size_t n_data = strcspn(text, "="), n = 0;
        uint32_t bits = 0;

        for (size_t i = 0; i < n_data; i++) {
                const char *at = strchr(alphabet, text[i]);

                if (!at) {
                        *ret_error_at = i;
                        return -EINVAL;
                }
                bits = bits << 6 | (uint32_t)(at - alphabet);
                if (i % 4 > 0)
                        ret_bytes[n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
        }

        *ret_n_bytes = n;
        return check_padding(text, n_data, strlen(text), ret_error_at);
}

static uint64_t read_little_endian(const uint8_t *bytes, size_t n_bytes) {
        uint64_t value = 0;

        while (n_bytes-- > 0)
                value = value << 8 | bytes[n_bytes];
        return value;
}

static void write_little_endian(uint8_t *bytes, size_t n_bytes, uint64_t value) {
        for (size_t i = 0; i < n_bytes; i++, value >>= 8)
                bytes[i] = (uint8_t)value;
}

static int token_read_place(const uint8_t *bytes, size_t n_bytes, PageToken *token, Diag *diag) {
        const char *key = (const char *)bytes + TOKEN_HEAD_BYTES;

        if (n_bytes <= TOKEN_HEAD_BYTES)
                return diag_set(diag, -EINVAL, "unexpected EOF");

        token->revision = (int64_t)read_little_endian(bytes + TOKEN_SHORT_BYTES, sizeof(int64_t));
        if (token->revision <= 0 || n_bytes - TOKEN_HEAD_BYTES > TOKEN_KEY_MAX_BYTES ||
            memchr(key, '\0', n_bytes - TOKEN_HEAD_BYTES))
                return diag_set(diag, -EINVAL, "invalid page token");

        token->after = strndup(key, n_bytes - TOKEN_HEAD_BYTES);
        return token->after ? 0 : -ENOMEM;
}

int page_token_decode(const char *text, uint16_t limit, PageToken *ret_token, Diag *diag) {
        uint8_t bytes[TOKEN_MAX_CHARS];
        PageToken token = { 0 };
        size_t n_bytes = 0, error_at = 0;
        int r = 0;

        if (strlen(text) > TOKEN_MAX_CHARS)
                return diag_set(diag, -EINVAL, "page token too long");
        if (base64_decode(text, bytes, &n_bytes, &error_at) < 0)
                return diag_set(diag, -EINVAL, "illegal base64 data at input byte %zu", error_at);
        if (n_bytes < TOKEN_SHORT_BYTES)
                return diag_set(diag, -EINVAL, "unexpected EOF");
        if (read_little_endian(bytes, 2) != limit)
                return diag_set(diag, -EINVAL, "token limit must be %u", limit);

        token.page = (uint16_t)read_little_endian(bytes + 2, 2);
        if (token.page == 0)
                return diag_set(diag, -EINVAL, "token page must be greater than zero");
        if (n_bytes > TOKEN_SHORT_BYTES) {
                token.page = 0;
                r = token_read_place(bytes, n_bytes, &token, diag);
        }
        if (r == 0)
                *ret_token = token;
        return r;
}

char *page_token_encode(uint16_t limit, int64_t revision, const char *after) {
        uint8_t bytes[TOKEN_HEAD_BYTES + TOKEN_KEY_MAX_BYTES];
        size_t n_key = strlen(after);

        assert(n_key <= TOKEN_KEY_MAX_BYTES);

        write_little_endian(bytes, 2, limit);
        write_little_endian(bytes + 2, 2, 1);
        write_little_endian(bytes + TOKEN_SHORT_BYTES, sizeof(int64_t), (uint64_t)revision);
        memcpy(bytes + TOKEN_HEAD_BYTES, after, n_key);
        return base64_encode(bytes, TOKEN_HEAD_BYTES + n_key);
}

bool api_page_token(Api *api, HttpExchange *exchange, PageToken *ret_token) {
        _cleanup_(freep) char *text = http_exchange_parameter(exchange, "nextPageToken", 0);
        _cleanup_(freep) char *second = http_exchange_parameter(exchange, "nextPageToken", 1);
        Diag diag = { 0 };
        int r;

        *ret_token = (PageToken){ 0 };
        if (second) {
                api_reply_error(api, exchange, 400, "too many values for page token");
                return false;
        }
        if (!text || !*text)
                return true;

        r = page_token_decode(text, api->options.token_limit, ret_token, &diag);
        if (r == -EINVAL)
                api_reply_error(api, exchange, 400, "%s", diag.message);
        else if (r < 0)
                api_reply_failure(api, exchange, r);
        return r == 0;
}
