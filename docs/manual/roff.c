/* SPDX-License-Identifier: Apache-2.0 */

/* What man(7) takes for markup is escaped: backslashes, a dot or quote that begins a line, and hyphens, which
 * would be typographic ones that nobody can paste into a shell. */

#include "docs/manual/roff.h"

#include <stdbool.h>
#include <string.h>

static void put_line(FILE *out, const char *text, size_t n_bytes) {
        if (n_bytes > 0 && (*text == '.' || *text == '\''))
                (void)fputs("\\&", out);
        for (size_t i = 0; i < n_bytes; i++) {
                if (text[i] == '\\')
                        (void)fputs("\\e", out);
                else if (text[i] == '-')
                        (void)fputs("\\-", out);
                else
                        (void)fputc(text[i], out);
        }
}

void roff_word(FILE *out, const char *text) {
        put_line(out, text, strlen(text));
}

void roff_text(FILE *out, const char *text) {
        bool is_verbatim = false;

        while (*text) {
                size_t n = strcspn(text, "\n");
                bool is_indented = *text == ' ';

                if (is_indented != is_verbatim)
                        (void)fputs(is_indented ? ".nf\n" : ".fi\n", out);
                is_verbatim = is_indented;
                if (n == 0)
                        (void)fputs(".sp\n", out);
                else {
                        put_line(out, text, n);
                        (void)fputc('\n', out);
                }
                text += n + (text[n] == '\n');
        }
        if (is_verbatim)
                (void)fputs(".fi\n", out);
}

void roff_item(FILE *out, const char *tag, const char *text) {
        (void)fputs(".TP\n\\fB", out);
        roff_word(out, tag);
        (void)fputs("\\fR\n", out);
        roff_text(out, text);
}
