/* SPDX-License-Identifier: Apache-2.0 */

/* The parser of unit files: contract section 5.1, with lines of any length.
 *
 * A cursor walks the text once, line by line; each construct (section, comment, option) is one
 * function that consumes it whole. Memory is the options themselves and one Buf for values that go
 * over several lines.
 *
 * What is parsed prints (unit_file_print()) as a text that parses to the same options again: what
 * one machine hashes is what another one runs. Three cases would break that if taken literally, and
 * are settled here:
 *   - A value whose last line ends in a backslash followed by blanks is not continued, and trimming
 * it would leave a backslash that does continue once printed. Such a value keeps one blank at its
 * end.
 *   - A backslash at the very end of the file counts as if the missing newline were there.
 *   - Carriage returns before a newline are dropped first, so that continued lines work in files
 * with CR LF, too. And two cannot travel as JSON, so they are errors here, where the line can still
 * be named: NUL bytes, and text that is not UTF-8 (systemd ignores such an assignment anyway).
 * White space is that of ASCII.
 *
 * It checks nothing about what options mean.
 */

#include "lib/unit/unit-file.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "lib/unit/utf8.h"

/* A piece of the text, borrowed from it. */
typedef struct Span {
        const char *start;
        size_t n_bytes;
} Span;

/* The walk through the text. */
typedef struct Cursor {
        const char *next; /* first byte not consumed */
        const char *end;  /* behind the last byte */
        size_t line;      /* number of the line that `next` is in, from 1 */
        char *section;    /* owned; the section that options belong to, NULL before the first */
        UnitFile *file;   /* borrowed; gets the options */
        Diag *diag;       /* or NULL */
} Cursor;

static bool is_space(char c) {
        return c == ' ' || (c >= '\t' && c <= '\r');
}

static Span span_trim(Span span) {
        while (span.n_bytes > 0 && is_space(*span.start)) {
                span.start++;
                span.n_bytes--;
        }
        while (span.n_bytes > 0 && is_space(span.start[span.n_bytes - 1]))
                span.n_bytes--;
        return span;
}

static bool span_ends_with(Span span, char c) {
        return span.n_bytes > 0 && span.start[span.n_bytes - 1] == c;
}

/* Consume the rest of the line and its newline; the span is what is before that and before carriage
 * returns. */
static Span cursor_take_line(Cursor *cursor) {
        size_t n_left = (size_t)(cursor->end - cursor->next);
        const char *newline = n_left > 0 ? memchr(cursor->next, '\n', n_left) : NULL;
        Span line = { cursor->next, newline ? (size_t)(newline - cursor->next) : n_left };

        cursor->next = newline ? newline + 1 : cursor->end;
        if (newline)
                cursor->line++;

        while (span_ends_with(line, '\r'))
                line.n_bytes--;
        return line;
}

/* Consume a comment: to the end of the first line that does not end in a backslash, one blank
 * behind it allowed. */
static void cursor_skip_comment(Cursor *cursor) {
        Span line;

        do {
                line = cursor_take_line(cursor);
                if (span_ends_with(line, ' '))
                        line.n_bytes--;
        } while (span_ends_with(line, '\\'));
}

static void cursor_skip_space(Cursor *cursor) {
        for (; cursor->next < cursor->end && is_space(*cursor->next); cursor->next++)
                if (*cursor->next == '\n')
                        cursor->line++;
}

/* Consume everything before the first section. */
static void cursor_skip_preamble(Cursor *cursor) {
        for (;;) {
                cursor_skip_space(cursor);
                if (cursor->next < cursor->end && (*cursor->next == '#' || *cursor->next == ';')) {
                        cursor_skip_comment(cursor);
                        continue;
                }

                while (cursor->next < cursor->end && *cursor->next != '[' && *cursor->next != '\n')
                        cursor->next++;
                if (cursor->next == cursor->end || *cursor->next == '[')
                        return;
        }
}

/* Say which bytes follow a section's name: as numbers, since they need not be readable. */
static int report_garbage(const Cursor *cursor, size_t line, Span garbage) {
        enum { N_SHOWN = 32 };
        char list[N_SHOWN * 4 + 4];
        size_t n = 0;

        for (size_t i = 0; i < garbage.n_bytes && i < N_SHOWN; i++) {
                unsigned byte = (unsigned char)garbage.start[i];

                n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%u", i > 0 ? " " : "", byte);
        }

        return diag_set(cursor->diag, -EBADMSG,
                        "line %zu: found garbage after section name %s: [%s%s]", line,
                        cursor->section ? cursor->section : "", list,
                        garbage.n_bytes > N_SHOWN ? " ..." : "");
}

/* Consume "[name]"; the cursor is on the bracket. */
static int cursor_take_section(Cursor *cursor) {
        size_t line = cursor->line;
        Span rest = cursor_take_line(cursor), garbage;
        const char *bracket = memchr(rest.start, ']', rest.n_bytes);
        char *section;

        if (!bracket)
                return diag_set(cursor->diag, -EBADMSG, "line %zu: unable to find end of section",
                                line);

        garbage.start = bracket + 1;
        garbage.n_bytes = rest.n_bytes - (size_t)(garbage.start - rest.start);
        garbage = span_trim(garbage);
        if (garbage.n_bytes > 0)
                return report_garbage(cursor, line, garbage);

        section = strndup(rest.start + 1, (size_t)(bracket - rest.start) - 1);
        if (!section)
                return -ENOMEM;

        free(cursor->section);
        cursor->section = section;
        return 0;
}

/* Consume an option's name and its '='. */
static int cursor_take_name(Cursor *cursor, Span *ret_name) {
        Span name = { cursor->next, 0 };

        for (; cursor->next < cursor->end && *cursor->next != '='; cursor->next++)
                if (*cursor->next == '\n')
                        return diag_set(cursor->diag, -EBADMSG,
                                        "line %zu: unexpected newline encountered while parsing "
                                        "option name",
                                        cursor->line);

        if (cursor->next == cursor->end)
                return diag_set(cursor->diag, -EBADMSG,
                                "line %zu: unexpected end of file (EOF) while parsing option name",
                                cursor->line);

        name.n_bytes = (size_t)(cursor->next - name.start);
        cursor->next++;
        *ret_name = span_trim(name);
        return 0;
}

/* The value that was gathered, in its stored form. */
static int value_finish(Span raw, bool keeps_newline, char **ret_value) {
        _cleanup_(buf_done) Buf value = buf_make(UNIT_FILE_MAX_BYTES + 1);
        Span trimmed = span_trim(raw);
        const char *tail = "";
        char *string;
        int r;

        if (keeps_newline)
                tail = "\n";
        else if (span_ends_with(trimmed, '\\'))
                tail = " ";

        r = buf_append(&value, trimmed.start, trimmed.n_bytes);
        if (r == 0)
                r = buf_append_string(&value, tail);
        if (r < 0)
                return r;

        string = buf_take_string(&value);
        if (!string)
                return -ENOMEM;

        *ret_value = string;
        return 0;
}

/* Consume an option's value with its continuation lines. */
static int cursor_take_value(Cursor *cursor, char **ret_value) {
        _cleanup_(buf_done) Buf gathered = buf_make(UNIT_FILE_MAX_BYTES + 1);
        Span line = cursor_take_line(cursor);
        int r;

        if (!span_ends_with(line, '\\'))
                return value_finish(line, false, ret_value);

        do {
                r = buf_append(&gathered, line.start, line.n_bytes);
                if (r == 0)
                        r = buf_append_string(&gathered, "\n");
                if (r < 0)
                        return r;

                line = cursor_take_line(cursor);
        } while (span_ends_with(line, '\\'));

        if (span_trim(line).n_bytes == 0)
                return value_finish((Span){ gathered.data, gathered.n_bytes }, true, ret_value);

        r = buf_append(&gathered, line.start, line.n_bytes);
        if (r < 0)
                return r;
        return value_finish((Span){ gathered.data, gathered.n_bytes }, false, ret_value);
}

static int cursor_take_option(Cursor *cursor) {
        _cleanup_(freep) char *name = NULL;
        _cleanup_(freep) char *value = NULL;
        Span name_span = { 0 };
        int r;

        r = cursor_take_name(cursor, &name_span);
        if (r < 0)
                return r;

        name = strndup(name_span.start, name_span.n_bytes);
        if (!name)
                return -ENOMEM;

        r = cursor_take_value(cursor, &value);
        if (r < 0)
                return r;

        return unit_file_add(cursor->file, cursor->section, name, value);
}

static int check_text(const char *text, size_t n_bytes, Diag *diag) {
        size_t line = 1;

        for (size_t i = 0; i < n_bytes;) {
                size_t n = utf8_sequence_bytes(text + i, n_bytes - i);

                if (n == 0)
                        return diag_set(diag, -EBADMSG, "line %zu: %s", line,
                                        text[i] ? "text is not valid UTF-8"
                                                : "text contains a NUL byte");
                if (text[i] == '\n')
                        line++;
                i += n;
        }
        return 0;
}

static int cursor_parse(Cursor *cursor) {
        int r = 0;

        cursor_skip_preamble(cursor);

        while (r == 0) {
                cursor_skip_space(cursor);
                if (cursor->next == cursor->end)
                        return 0;

                if (*cursor->next == '[')
                        r = cursor_take_section(cursor);
                else if (*cursor->next == '#' || *cursor->next == ';')
                        cursor_skip_comment(cursor);
                else
                        r = cursor_take_option(cursor);
        }
        return r;
}

int unit_file_parse(const char *text, size_t n_bytes, UnitFile **ret_file, Diag *diag) {
        _cleanup_(unit_file_freep) UnitFile *file = NULL;
        Cursor cursor = { .line = 1, .diag = diag };
        int r;

        assert(text || n_bytes == 0);
        assert(ret_file);

        if (n_bytes > UNIT_FILE_MAX_BYTES)
                return diag_set(diag, -EFBIG,
                                "the unit file has %zu bytes, more than the maximum of %d", n_bytes,
                                UNIT_FILE_MAX_BYTES);

        r = check_text(text, n_bytes, diag);
        if (r < 0)
                return r;

        r = unit_file_new(&file);
        if (r < 0)
                return r;

        cursor.file = file;
        cursor.next = n_bytes > 0 ? text : "";
        cursor.end = cursor.next + n_bytes;
        r = cursor_parse(&cursor);
        free(cursor.section);
        if (r < 0)
                return r;

        *ret_file = TAKE(file);
        return 0;
}
