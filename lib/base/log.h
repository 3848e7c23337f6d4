/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The log: one line per event, with the unit and the machine it is about as fields. Where the lines
 * go is decided once, by main: the journal (fleetd under systemd) or plain text on stderr. Levels
 * are those of syslog(3). Code in lib/ logs at debug at most; the loop's entry points in agent,
 * engine, api and fleetd are the logging layer.
 */

#include <stdbool.h>
#include <stddef.h>
#include <syslog.h>

/* What a line is about; either may be NULL. They become FLEET_UNIT= and FLEET_MACHINE= in the
 * journal. */
typedef struct LogSubject {
        const char *unit;    /* unit name */
        const char *machine; /* machine ID */
} LogSubject;

/* Where lines go: gets the priority, the subject (never NULL) and the text without a newline. */
typedef void (*LogSink)(int priority, const LogSubject *subject, const char *text);

/* Send all further lines to `sink`; NULL restores the default, plain lines on stderr. */
void log_set_sink(LogSink sink);

/* The default sink: "LEVEL text", or "LEVEL unit: text", on stderr. For sinks that add to it. */
void log_to_stderr(int priority, const LogSubject *subject, const char *text);

/* Drop lines less important than `priority` (default LOG_INFO). */
void log_set_max_priority(int priority);

/* Would a line of this priority be shown? For callers that would compute much for it. */
bool log_is_shown(int priority);

/* Log one line. `subject` may be NULL. Longer text than 2 kB is cut. */
void log_about(int priority, const LogSubject *subject, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* Log one line about nothing in particular. */
void log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Log one line about a unit. */
void log_unit(int priority, const char *unit, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
