/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A message for a person, carried beside an error code through the functions whose failure a person
 * will read: unit files, configuration, request bodies, fleetctl. Everything else returns just a
 * code.
 */

#include <stdarg.h>

/* The message; zeroed is "none". Longer text is cut. */
typedef struct Diag {
        char message[512]; /* NUL-terminated */
} Diag;

/* Set the message and return `code`, so that `return diag_set(diag, -EINVAL, "...")` is one
 * statement. `diag` may be NULL. */
int diag_set(Diag *diag, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Put context in front of the message: "<context>: <message>". Returns `code`. `diag` may be NULL.
 */
int diag_wrap(Diag *diag, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
