/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The form of the configuration file: lines of KEY = VALUE outside of sections, comments after '#'
 * or ';' at the start of a line, values bare, 'single' or "double" quoted (contract section 8).
 * Knows no key.
 */

#include <stddef.h>

#include "lib/base/diag.h"

/* Gets each assignment, in order. `line` counts from 1. What is not 0 ends the reading and is
 * returned. */
typedef int (*ConfigTextFn)(const char *key, const char *value, unsigned line, void *userdata,
                            Diag *diag);

/* Read the text, which is changed on the way and has a NUL at text[n_bytes]. Returns 0, what `fn`
 * returned, or -EINVAL with a message that begins with "<path>:<line>: ". */
int config_text_parse(const char *path, char *text, size_t n_bytes, ConfigTextFn fn, void *userdata,
                      Diag *diag);
