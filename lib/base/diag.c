/* SPDX-License-Identifier: Apache-2.0 */

/* Messages for people. Formatting only: deciding what to say is the caller's. */

#include "lib/base/diag.h"

#include <stdio.h>

int diag_set(Diag *diag, int code, const char *format, ...) {
        va_list args;

        if (!diag)
                return code;

        va_start(args, format);
        (void)vsnprintf(diag->message, sizeof(diag->message), format, args);
        va_end(args);
        return code;
}

int diag_wrap(Diag *diag, int code, const char *format, ...) {
        Diag inner;
        va_list args;
        int n;

        if (!diag)
                return code;

        inner = *diag;
        va_start(args, format);
        n = vsnprintf(diag->message, sizeof(diag->message), format, args);
        va_end(args);
        if (n >= 0 && (size_t)n < sizeof(diag->message))
                (void)snprintf(diag->message + n, sizeof(diag->message) - (size_t)n, ": %s", inner.message);
        return code;
}
