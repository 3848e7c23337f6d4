/* SPDX-License-Identifier: Apache-2.0 */

/* Messages for people. Formatting only: deciding what to say is the caller's. */

#include "lib/base/diag.h"

#include <stdio.h>
#include <string.h>

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
        size_t n;

        if (!diag)
                return code;

        inner = *diag;
        va_start(args, format);
        (void)vsnprintf(diag->message, sizeof(diag->message), format, args);
        va_end(args);

        n = strlen(diag->message);
        if (n + sizeof(": ") < sizeof(diag->message)) {
                memcpy(diag->message + n, ": ", sizeof(": "));
                n += strlen(": ");
                (void)snprintf(diag->message + n, sizeof(diag->message) - n, "%.*s",
                               (int)(sizeof(diag->message) - n - 1), inner.message);
        }
        return code;
}
