/* SPDX-License-Identifier: Apache-2.0 */

/* The text forms of gRPC's headers about time and outcome. Everything here is pure, and
 * everything read here comes from a peer. */

#include "lib/store/grpc-status.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/env.h"
#include "lib/base/macro.h"

GrpcCode grpc_code_from_text(const uint8_t *text, size_t n_bytes) {
        unsigned code = 0;

        if (n_bytes == 0 || n_bytes > 2)
                return GRPC_UNKNOWN;

        for (size_t i = 0; i < n_bytes; i++) {
                if (text[i] < '0' || text[i] > '9')
                        return GRPC_UNKNOWN;
                code = code * 10 + (text[i] - '0');
        }

        return code <= GRPC_UNAUTHENTICATED ? (GrpcCode)code : GRPC_UNKNOWN;
}

GrpcCode grpc_code_from_http_status(int http_status) {
        switch (http_status) {
        case 400:
                return GRPC_INTERNAL;
        case 401:
                return GRPC_UNAUTHENTICATED;
        case 403:
                return GRPC_PERMISSION_DENIED;
        case 404:
                return GRPC_UNIMPLEMENTED;
        case 429:
        case 502:
        case 503:
        case 504:
                return GRPC_UNAVAILABLE;
        default:
                return GRPC_UNKNOWN;
        }
}

static int hex_digit(uint8_t c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return -1;
}

char *grpc_message_decode(const uint8_t *text, size_t n_bytes) {
        size_t n = 0;
        char *decoded;

        decoded = malloc((n_bytes < GRPC_STATUS_MESSAGE_MAX ? n_bytes : GRPC_STATUS_MESSAGE_MAX) +
                         1);
        if (!decoded)
                return NULL;

        for (size_t i = 0; i < n_bytes && n < GRPC_STATUS_MESSAGE_MAX; i++) {
                uint8_t c = text[i];

                if (c == '%' && i + 2 < n_bytes && hex_digit(text[i + 1]) >= 0 &&
                    hex_digit(text[i + 2]) >= 0) {
                        c = (uint8_t)(hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2]));
                        i += 2;
                }
                decoded[n++] = c < ' ' || c == 0x7f ? ' ' : (char)c;
        }

        decoded[n] = '\0';
        return decoded;
}

void grpc_timeout_format(uint64_t timeout_us, char ret_text[GRPC_TIMEOUT_TEXT_BYTES]) {
        uint64_t timeout_ms = timeout_us / US_PER_MS;

        if (timeout_ms < 1)
                timeout_ms = 1;
        if (timeout_ms > 99999999) /* TimeoutValue has at most 8 digits */
                timeout_ms = 99999999;
        (void)snprintf(ret_text, GRPC_TIMEOUT_TEXT_BYTES, "%" PRIu64 "m", timeout_ms);
}

/* The units of grpc-timeout, with how many of them are, or are in, a microsecond. */
static const struct {
        char letter;
        uint64_t n_us, n_per_us;
} timeout_units[] = {
        { 'H', UINT64_C(3600) * US_PER_S, 1 },
        { 'M', 60 * US_PER_S, 1 },
        { 'S', US_PER_S, 1 },
        { 'm', US_PER_MS, 1 },
        { 'u', 1, 1 },
        { 'n', 1, 1000 },
};

int grpc_timeout_parse(const uint8_t *text, size_t n_bytes, uint64_t *ret_timeout_us) {
        uint64_t value = 0;

        if (n_bytes < 2 || n_bytes > 9)
                return -EINVAL;

        for (size_t i = 0; i < n_bytes - 1; i++) {
                if (text[i] < '0' || text[i] > '9')
                        return -EINVAL;
                value = value * 10 + (text[i] - '0');
        }

        for (size_t i = 0; i < ELEMENTSOF(timeout_units); i++) {
                if ((char)text[n_bytes - 1] != timeout_units[i].letter)
                        continue;
                *ret_timeout_us = value * timeout_units[i].n_us / timeout_units[i].n_per_us;
                return 0;
        }
        return -EINVAL;
}

void grpc_message_encode(const char *text, char ret_text[GRPC_STATUS_MESSAGE_TEXT_BYTES]) {
        static const char digits[] = "0123456789ABCDEF";
        char *out = ret_text;

        for (size_t i = 0; text[i] && i < GRPC_STATUS_MESSAGE_MAX; i++) {
                unsigned char c = (unsigned char)text[i];

                if (c >= ' ' && c <= '~' && c != '%') {
                        *out++ = (char)c;
                        continue;
                }
                *out++ = '%';
                *out++ = digits[c >> 4];
                *out++ = digits[c & 15];
        }
        *out = '\0';
}
