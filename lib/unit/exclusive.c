/* SPDX-License-Identifier: Apache-2.0 */

/* How long systemd may take to stop a unit: a sum over the stages of a stop, each of which has a
 * time of its own. A table says what the two types of units that run commands call them; a unit of
 * a type that runs nothing ends at once.
 *
 * As systemd reads a file: of several assignments the last one counts, an empty one drops the
 * commands before it, and a time of 0 is no limit.
 */

#include "lib/unit/exclusive.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/macro.h"

enum {
        SIGNAL_STAGES = 4, /* SIGTERM and SIGKILL, and both again for what is left */
        ABORT_STAGES = 2,  /* before each SIGKILL */
};

static const uint64_t second_us = 1000000;

/* Time spans */

static const struct {
        const char *name;
        uint64_t us;
} units[] = {
        { "", 1000000 },
        { "us", 1 },
        { "usec", 1 },
        { "µs", 1 },
        { "ms", 1000 },
        { "msec", 1000 },
        { "s", 1000000 },
        { "sec", 1000000 },
        { "second", 1000000 },
        { "seconds", 1000000 },
        { "m", 60000000 },
        { "min", 60000000 },
        { "minute", 60000000 },
        { "minutes", 60000000 },
        { "h", 3600000000 },
        { "hr", 3600000000 },
        { "hour", 3600000000 },
        { "hours", 3600000000 },
        { "d", 86400000000 },
        { "day", 86400000000 },
        { "days", 86400000000 },
        { "w", 604800000000 },
        { "week", 604800000000 },
        { "weeks", 604800000000 },
        { "M", 2629800000000 },
        { "month", 2629800000000 },
        { "months", 2629800000000 },
        { "y", 31557600000000 },
        { "year", 31557600000000 },
        { "years", 31557600000000 },
};

static bool unit_find(const char *name, size_t n_bytes, uint64_t *ret_us) {
        for (size_t i = 0; i < ELEMENTSOF(units); i++)
                if (strlen(units[i].name) == n_bytes && memcmp(units[i].name, name, n_bytes) == 0) {
                        *ret_us = units[i].us;
                        return true;
                }
        return false;
}

/* One number with its unit. Moves `text` behind it. */
static int read_term(const char **text, double *ret_us) {
        static const char blanks[] = " \t";
        const char *number = *text, *name;
        size_t n_name;
        uint64_t us;
        char *end;

        if (!isdigit((unsigned char)*number) && *number != '.')
                return -EINVAL;
        name = number + strspn(number, "0123456789.");
        *ret_us = strtod(number, &end);
        if (end != name)
                return -EINVAL;

        name += strspn(name, blanks);
        n_name = strcspn(name, " \t.0123456789");
        if (!unit_find(name, n_name, &us))
                return -EINVAL;
        *ret_us *= (double)us;
        *text = name + n_name + strspn(name + n_name, blanks);
        return 0;
}

int timespan_parse(const char *text, uint64_t *ret_us) {
        static const double most_us = 9e18;
        double sum_us = 0;

        if (streq(text, "infinity")) {
                *ret_us = UINT64_MAX;
                return 0;
        }

        do {
                double term_us;
                int r = read_term(&text, &term_us);

                if (r < 0)
                        return r;
                sum_us += term_us;
        } while (*text);

        *ret_us = sum_us >= most_us ? UINT64_MAX : (uint64_t)sum_us;
        return 0;
}

/* The stages of a stop */

/* What a type of units calls them. */
typedef struct StopType {
        const char *section;
        const char *stop;        /* option with commands */
        const char *timeouts[2]; /* options with the time, the last one in the file counts */
} StopType;

static const StopType types[] = {
        { "Service", "ExecStop", { "TimeoutStopSec", "TimeoutSec" } },
        { "Socket", "ExecStopPre", { "TimeoutSec", "TimeoutSec" } },
};

/* What else runs, or ends by other means. */
static const char *const sections_without[] = { "Mount", "Automount", "Swap", "Scope" };

/* What a section says of its end. */
typedef struct Stop {
        uint64_t timeout_us;
        uint64_t abort_us; /* 0 = as timeout_us */
        size_t n_commands;
        bool has_timeout;
        bool aborts;
} Stop;

static bool is_no(const char *value) {
        static const char *const spellings[] = { "no", "n", "false", "f", "off", "0" };

        for (size_t i = 0; i < ELEMENTSOF(spellings); i++)
                if (strcasecmp(value, spellings[i]) == 0)
                        return true;
        return false;
}

/* One line may hold several, between semicolons that stand alone. */
static size_t count_commands(const char *value) {
        static const char blanks[] = " \t\n\\";
        size_t n = 1;

        for (value += strspn(value, blanks); *value; value += strspn(value, blanks)) {
                size_t n_bytes = strcspn(value, blanks);

                n += n_bytes == 1 && *value == ';';
                value += n_bytes;
        }
        return n;
}

static int read_time(const UnitOption *option, uint64_t *ret_us, Diag *diag) {
        int r = timespan_parse(option->value, ret_us);

        if (r < 0)
                return diag_set(diag, r, "%s=%.100s is not a time span", option->name,
                                option->value);
        if (*ret_us == 0 || *ret_us == UINT64_MAX)
                return diag_set(diag, -EINVAL,
                                "Exclusive needs a time within which the unit stops, and "
                                "%s=%.100s sets none",
                                option->name, option->value);
        return 0;
}

/* What does not end with the unit. */
static int check_kill(const UnitOption *option, Diag *diag) {
        bool leaves = (streq(option->name, "KillMode") &&
                       (streq(option->value, "none") || streq(option->value, "process"))) ||
                      (streq(option->name, "SendSIGKILL") && is_no(option->value));

        return leaves ? diag_set(diag, -EINVAL,
                                 "Exclusive cannot be used with %s=%.100s, which may leave "
                                 "processes of the unit running",
                                 option->name, option->value)
                      : 0;
}

static int read_option(const StopType *type, const UnitOption *option, Stop *stop, size_t *n_stop,
                       size_t *n_post, Diag *diag) {
        size_t *n = streq(option->name, type->stop)       ? n_stop
                    : streq(option->name, "ExecStopPost") ? n_post
                                                          : NULL;

        if (n) {
                *n = *option->value ? *n + count_commands(option->value) : 0;
                return 0;
        }
        if (streq(option->name, type->timeouts[0]) || streq(option->name, type->timeouts[1])) {
                stop->has_timeout = true;
                return read_time(option, &stop->timeout_us, diag);
        }
        stop->aborts |= streq(option->name, "WatchdogSec") ||
                        (streq(option->name, "TimeoutStopFailureMode") &&
                         streq(option->value, "abort"));
        if (streq(option->name, "TimeoutAbortSec")) {
                stop->aborts = true;
                return *option->value ? read_time(option, &stop->abort_us, diag) : 0;
        }
        return check_kill(option, diag);
}

static int read_stop(const StopType *type, const UnitFile *file, Stop *ret_stop, Diag *diag) {
        Stop stop = { .timeout_us = EXCLUSIVE_STOP_DEFAULT_S * second_us };
        size_t n_stop = 0, n_post = 0;
        int r = 0;

        for (size_t i = 0; r == 0 && i < file->n_options; i++)
                if (streq(file->options[i].section, type->section))
                        r = read_option(type, &file->options[i], &stop, &n_stop, &n_post, diag);
        stop.n_commands = n_stop + n_post;
        *ret_stop = stop;
        return r;
}

/* In seconds; a double holds whatever is read. */
static double stop_seconds(const Stop *stop) {
        uint64_t abort_us = stop->abort_us ? stop->abort_us : stop->timeout_us;
        double us = (double)(stop->n_commands + SIGNAL_STAGES) * (double)stop->timeout_us;

        return (us + (stop->aborts ? ABORT_STAGES * (double)abort_us : 0)) / (double)second_us;
}

const char *exclusive_section_without_timeout(const UnitFile *file) {
        for (size_t i = 0; i < ELEMENTSOF(types); i++) {
                Stop stop;

                if (unit_file_has_section(file, types[i].section) &&
                    read_stop(&types[i], file, &stop, NULL) == 0 && !stop.has_timeout)
                        return types[i].section;
        }
        return NULL;
}

int exclusive_stop_time(const UnitFile *file, uint32_t *ret_s, Diag *diag) {
        double seconds = 0;

        for (size_t i = 0; i < ELEMENTSOF(sections_without); i++)
                if (unit_file_has_section(file, sections_without[i]))
                        return diag_set(diag, -EINVAL,
                                        "Exclusive cannot be used with [%s]: there is no time "
                                        "within which such a unit surely stops",
                                        sections_without[i]);
        for (size_t i = 0; i < ELEMENTSOF(types); i++) {
                Stop stop;
                int r = 0;

                if (unit_file_has_section(file, types[i].section))
                        r = read_stop(&types[i], file, &stop, diag);
                else
                        continue;
                if (r < 0)
                        return r;
                seconds += stop_seconds(&stop);
        }
        if (seconds > EXCLUSIVE_STOP_MAX_S)
                return diag_set(diag, -EINVAL,
                                "Exclusive needs a time within which the unit stops: this one may "
                                "take %.0f s, more than the maximum of %d",
                                seconds, EXCLUSIVE_STOP_MAX_S);

        *ret_s = (uint32_t)seconds;
        if (*ret_s < seconds || *ret_s == 0)
                (*ret_s)++;
        return 0;
}
