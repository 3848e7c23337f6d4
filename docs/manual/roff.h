/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Text as man(7) source. */

#include <stdio.h>

/* Write text as one word of a line: every character shows as itself. */
void roff_word(FILE *out, const char *text);

/* Write text with line ends as paragraphs: an empty line separates them, indented lines stay as they
 * are. */
void roff_text(FILE *out, const char *text);

/* Write a tagged paragraph: `tag` in bold, then `text` as roff_text() does. */
void roff_item(FILE *out, const char *tag, const char *text);
