/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* --output: tables for people, JSON for programs. */

#include <stdbool.h>

#include "fleetctl/options.h"
#include "lib/base/diag.h"

/* The flag, for the flag tables of the commands that have both. */
#define OUTPUT_FLAG                                                                              \
        {                                                                                        \
                "output", "FORMAT", "table",                                                     \
                        "How to print: table, or json for a JSON array of what the API says of " \
                        "each",                                                                  \
                        offsetof(Options, format), FLAG_STRING, 'o', false                       \
        }

/* Was JSON asked for? Returns 0, or -EINVAL with a message for a format that nobody knows. */
int output_is_json(const Options *options, bool *ret_is_json, Diag *diag);
