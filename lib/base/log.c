/* SPDX-License-Identifier: Apache-2.0 */

/* The log front-end. The sink and the level are the only process-wide state of lib/: a log has one
 * destination per process, and threading a handle through every function would buy nothing.
 */

#include "lib/base/log.h"

#include <stdarg.h>
#include <stdio.h>

void log_to_stderr(int priority, const LogSubject *subject, const char *text) {
        static const char *const names[] = {
                "EMERG", "ALERT", "CRIT", "ERROR", "WARN", "NOTICE", "INFO", "DEBUG",
        };

        (void)fprintf(stderr, "%s ", names[priority & LOG_PRIMASK]);
        if (subject->unit)
                (void)fprintf(stderr, "%s: ", subject->unit);
        (void)fprintf(stderr, "%s\n", text);
}

static LogSink log_sink = log_to_stderr;
static int log_max_priority = LOG_INFO;

void log_set_sink(LogSink sink) {
        log_sink = sink ? sink : log_to_stderr;
}

void log_set_max_priority(int priority) {
        log_max_priority = priority;
}

bool log_is_shown(int priority) {
        return priority <= log_max_priority;
}

__attribute__((format(printf, 3, 0))) static void log_va(int priority, const LogSubject *subject,
                                                         const char *format, va_list args) {
        static const LogSubject nothing;
        char text[2048];

        (void)vsnprintf(text, sizeof(text), format, args);
        log_sink(priority, subject ? subject : &nothing, text);
}

void log_about(int priority, const LogSubject *subject, const char *format, ...) {
        va_list args;

        if (!log_is_shown(priority))
                return;

        va_start(args, format);
        log_va(priority, subject, format, args);
        va_end(args);
}

void log_line(int priority, const char *format, ...) {
        va_list args;

        if (!log_is_shown(priority))
                return;

        va_start(args, format);
        log_va(priority, NULL, format, args);
        va_end(args);
}

void log_unit(int priority, const char *unit, const char *format, ...) {
        LogSubject subject = { .unit = unit };
        va_list args;

        if (!log_is_shown(priority))
                return;

        va_start(args, format);
        log_va(priority, &subject, format, args);
        va_end(args);
}
