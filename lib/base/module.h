/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Modules: parts of the program with a library behind them that most machines do without, loaded
 * where they are needed (dlopen(3)). */

#include "lib/base/diag.h"

/* What the object begins with that a module exports. */
typedef struct ModuleHead {
        const char *version; /* FLEET_VERSION: a program takes only a module of its own version */
} ModuleHead;

/* Load the module at `path`, which does `purpose` ("TLS"), and find the object that it exports as
 * `symbol`. It stays loaded. Returns 0; -ELIBACC when it is not there; -ELIBBAD when it is none of
 * ours or of another version; with a message. */
int module_load(const ModuleHead **ret_head, const char *path, const char *symbol,
                const char *purpose, Diag *diag);
