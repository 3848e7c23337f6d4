/* SPDX-License-Identifier: Apache-2.0 */

/* The JSON writer (RFC 8259): compact, in the order of the calls.
 *
 * Encoding does not go through a tree. A page of 10,000 states would need one of many megabytes,
 * and what a daemon once allocated it seldom gives back. Appending text needs only the text; every
 * encoder knows its keys and their order.
 *
 * Strings are escaped as RFC 8259 section 7 demands, and no more. Bytes that are not UTF-8, which
 * can come from a service's error message, become U+FFFD, so that no single string can make a whole
 * list unreadable.
 */

#include "lib/model/json-out.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/unit/utf8.h"

JsonOut json_out_begin(Buf *buf) {
        return (JsonOut){ .buf = buf, .start = buf->n_bytes };
}

int json_out_end(JsonOut *out) {
        if (out->error < 0 && out->buf->data) {
                out->buf->n_bytes = out->start;
                out->buf->data[out->start] = '\0';
        }
        return out->error;
}

static void append(JsonOut *out, const char *bytes, size_t n_bytes) {
        if (out->error == 0)
                out->error = buf_append(out->buf, bytes, n_bytes);
}

static void separate(JsonOut *out) {
        if (out->needs_comma)
                append(out, ",", 1);
        out->needs_comma = false;
}

void json_out_open(JsonOut *out, char bracket) {
        separate(out);
        append(out, &bracket, 1);
}

void json_out_close(JsonOut *out, char bracket) {
        append(out, &bracket, 1);
        out->needs_comma = true;
}

static void append_control(JsonOut *out, unsigned char c) {
        static const char short_forms[] = "btn\0fr"; /* U+0008 to U+000D; U+000B has none */
        char text[8];

        if (c >= '\b' && c <= '\r' && short_forms[c - '\b'])
                append(out, (const char[]){ '\\', short_forms[c - '\b'] }, 2);
        else {
                static const char digits[] = "0123456789abcdef";

                memcpy(text, "\\u00", 4);
                text[4] = digits[c >> 4];
                text[5] = digits[c & 15];
                append(out, text, 6);
        }
}

/* How many bytes at `text` can go out as they are. */
static size_t plain_bytes(const char *text) {
        size_t n = 0;

        for (;;) {
                unsigned char c = (unsigned char)text[n];
                size_t n_sequence = 0;

                if (c >= 0x20 && c != '"' && c != '\\')
                        n_sequence = utf8_sequence_bytes(text + n, 4);
                if (n_sequence == 0)
                        return n;
                n += n_sequence;
        }
}

static void append_quoted(JsonOut *out, const char *text) {
        append(out, "\"", 1);

        for (;;) {
                size_t n = plain_bytes(text);
                unsigned char c;

                append(out, text, n);
                text += n;
                if (!*text)
                        break;

                c = (unsigned char)*text++;
                if (c == '"' || c == '\\')
                        append(out, (const char[]){ '\\', (char)c }, 2);
                else if (c < 0x20)
                        append_control(out, c);
                else
                        append(out, "\xef\xbf\xbd", 3); /* U+FFFD */
        }

        append(out, "\"", 1);
}

void json_out_key(JsonOut *out, const char *key) {
        separate(out);
        append_quoted(out, key);
        append(out, ":", 1);
}

void json_out_any_string(JsonOut *out, const char *key, const char *value) {
        json_out_key(out, key);
        append_quoted(out, value);
        out->needs_comma = true;
}

void json_out_null(JsonOut *out, const char *key) {
        json_out_key(out, key);
        append(out, "null", 4);
        out->needs_comma = true;
}

void json_out_element(JsonOut *out, const char *value) {
        separate(out);
        append_quoted(out, value);
        out->needs_comma = true;
}

void json_out_string(JsonOut *out, const char *key, const char *value) {
        if (value && *value)
                json_out_any_string(out, key, value);
}

void json_out_true(JsonOut *out, const char *key, bool value) {
        if (!value)
                return;
        json_out_key(out, key);
        append(out, "true", 4);
        out->needs_comma = true;
}

void json_out_number(JsonOut *out, const char *key, uint64_t number) {
        json_out_key(out, key);
        if (out->error == 0)
                out->error = number > INT64_MAX ? -ERANGE
                                                : buf_printf(out->buf, "%" PRIu64, number);
        out->needs_comma = true;
}

void json_out_metadata(JsonOut *out, const Metadata *metadata) {
        json_out_open(out, '{');
        for (size_t i = 0; i < metadata->n_entries; i++)
                json_out_any_string(out, metadata->entries[i].key, metadata->entries[i].value);
        json_out_close(out, '}');
}

void json_out_strings(JsonOut *out, const char *key, const StrList *strings) {
        json_out_key(out, key);
        json_out_open(out, '[');
        for (size_t i = 0; i < strings->n_items; i++)
                json_out_element(out, strings->items[i]);
        json_out_close(out, ']');
}

void json_out_restarts(JsonOut *out, const Restarts *restarts) {
        json_out_open(out, '{');
        for (size_t i = 0; i < restarts->n_entries; i++)
                json_out_number(out, restarts->entries[i].machine, restarts->entries[i].generation);
        json_out_close(out, '}');
}

int json_out_finish(JsonOut *out, char **ret_json) {
        int r = json_out_end(out);

        if (r < 0)
                return r;

        assert(out->buf->data);
        *ret_json = buf_take_string(out->buf);
        return 0;
}
