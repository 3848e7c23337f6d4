/* SPDX-License-Identifier: Apache-2.0 */

/* Durations of the configuration, by integers only: 0.1s is exactly 100000 microseconds. The sum is
 * kept in nanoseconds, the smallest unit that can be written.
 */

#include "fleetd/duration.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "lib/base/macro.h"

typedef struct DurationUnit {
        const char *name;
        uint64_t ns;
} DurationUnit;

/* A longer name stands before the shorter one that it begins with. */
static const DurationUnit units[] = {
        { "ns", 1 },           { "us", 1000 },      { "\xc2\xb5s", 1000 }, /* U+00B5, micro sign */
        { "\xce\xbcs", 1000 },                                             /* U+03BC, Greek mu */
        { "ms", 1000000 },     { "s", 1000000000 }, { "m", 60000000000 },  { "h", 3600000000000 },
};

static const DurationUnit *read_unit(const char **text) {
        for (size_t i = 0; i < ELEMENTSOF(units); i++) {
                size_t n = strlen(units[i].name);

                if (strncmp(*text, units[i].name, n) == 0) {
                        *text += n;
                        return &units[i];
                }
        }
        return NULL;
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* Read digits: their value, and the power of ten that they stand for as a fraction. Of a fraction,
 * digits that no longer fit are dropped; of a whole number they are an overflow. */
static int read_digits(const char **text, bool is_fraction, uint64_t *ret_value,
                       uint64_t *ret_scale) {
        const uint64_t scale_max = 1000000000; /* finer than a nanosecond of an hour needs no more
                                                  than 10^-13; 10^-9 is plenty */
        uint64_t value = 0, scale = 1;

        for (; is_digit(**text); (*text)++) {
                uint64_t digit = (uint64_t)(**text - '0');

                if (is_fraction && scale >= scale_max)
                        continue;
                if (__builtin_mul_overflow(value, 10, &value) ||
                    __builtin_add_overflow(value, digit, &value))
                        return -ERANGE;
                if (is_fraction)
                        scale *= 10;
        }

        *ret_value = value;
        *ret_scale = scale;
        return 0;
}

/* Read one number with its unit and add it. */
static int read_term(const char **text, uint64_t *sum_ns) {
        uint64_t whole, fraction = 0, scale = 1, ns;
        const char *start = *text;
        const DurationUnit *unit;
        bool has_digits;
        int r;

        r = read_digits(text, false, &whole, &scale);
        if (r < 0)
                return r;
        has_digits = *text > start;

        if (**text == '.') {
                start = ++*text;
                r = read_digits(text, true, &fraction, &scale);
                if (r < 0)
                        return r;
                has_digits = has_digits || *text > start;
        }

        unit = has_digits ? read_unit(text) : NULL;
        if (!unit)
                return -EINVAL;

        if (__builtin_mul_overflow(whole, unit->ns, &ns) ||
            __builtin_add_overflow(*sum_ns, ns, sum_ns))
                return -ERANGE;
        ns = (uint64_t)((unsigned __int128)fraction * unit->ns / scale);
        return __builtin_add_overflow(*sum_ns, ns, sum_ns) ? -ERANGE : 0;
}

int duration_parse(const char *text, uint64_t *ret_us) {
        bool is_negative = *text == '-';
        uint64_t sum_ns = 0;

        if (*text == '-' || *text == '+')
                text++;
        if (streq(text, "0")) {
                *ret_us = 0;
                return 0;
        }
        if (*text == '\0')
                return -EINVAL;

        while (*text) {
                int r = read_term(&text, &sum_ns);

                if (r < 0)
                        return r;
        }
        if (is_negative && sum_ns > 0)
                return -ERANGE;

        *ret_us = sum_ns / 1000;
        return 0;
}
