/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Flags as rows of tables, and the one parser for them (contract section 2.1, 2.2). */

#include <stddef.h>

#include "fleetctl/options.h"
#include "lib/base/diag.h"
#include "lib/base/strlist.h"

/* What a flag takes, and the type of its field in Options. */
typedef enum FlagKind {
        FLAG_BOOL,    /* nothing, or =true/=false; bool */
        FLAG_COUNT,   /* a whole number; Count */
        FLAG_PORT,    /* the number of a port, from 1 to 65535; Count */
        FLAG_SECONDS, /* seconds, more than 0, with a fraction or without; uint64_t milliseconds */
        FLAG_STRING,  /* any text; const char * */
} FlagKind;

/* One flag. */
typedef struct Flag {
        const char *name;     /* without dashes */
        const char *metavar;  /* what its value is called in help texts; NULL for FLAG_BOOL */
        const char *fallback; /* the value when it is not given, or NULL */
        const char *help;     /* one sentence for the help text; NULL hides the flag there */
        size_t offset;        /* of its field in Options */
        FlagKind kind;
        char letter; /* short form, accepted with one dash and with two (contract section 2.2); 0 =
                        none */
        bool has_environment; /* can it be given as FLEETCTL_<NAME> (contract section 2.1)? */
} Flag;

/* A table of flags. */
typedef struct FlagTable {
        const Flag *flags; /* borrowed */
        size_t n_flags;
} FlagTable;

/* The flags that every command takes. */
extern const FlagTable global_flags;

/* Put the defaults of a table into `options`. */
void flags_set_defaults(const FlagTable *table, Options *options);

enum { FLAG_ENVIRONMENT_BYTES = 64 }; /* a variable's name, with its NUL */

/* The environment variable of a flag: FLEETCTL_ and its name in capitals, '-' as '_'. */
void flag_environment_name(const Flag *flag, char ret_name[FLAG_ENVIRONMENT_BYTES]);

/* Take values from the environment, for the flags that have one there. Empty and unparsable ones
 * are ignored (contract section 2.1). */
void flags_read_environment(const FlagTable *table, Options *options);

/* Parse `words` against `tables`: flags go into `options`, the others are appended to `ret_words`
 * (not with `until_word`, which stops at the first of them). `ret_n_taken` is how many words were
 * consumed. "--" ends the flags. Returns 0, -ENOMEM, or -EINVAL with a message that may have
 * several lines (a suggestion). */
typedef struct FlagParse {
        const FlagTable *const *tables; /* searched in this order */
        size_t n_tables;
        char *const *words; /* borrowed; string values of flags point into them */
        size_t n_words;
        bool until_word;
} FlagParse;
int flags_parse(const FlagParse *parse, Options *options, StrList *ret_words, size_t *ret_n_taken,
                Diag *diag);
