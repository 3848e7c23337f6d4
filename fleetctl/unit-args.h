/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Words of the command line as units: their names and files (contract section 2.6). */

#include "lib/base/diag.h"
#include "lib/base/strlist.h"
#include "lib/unit/unit-file.h"

enum {
        _UNIT_ARGS_E_OK,
        UNIT_ARGS_E_NO_FILE, /* there is no such file */
};

/* The units that `words` mean, braces expanded (expand.h), each once, in the order of their first
 * mention; and, unless `ret_paths` is NULL, where the file of each would be: the directory of the
 * word with the name. A word that is a pattern is left as it is, in both. Both are appended to.
 * Returns 0, -ENOMEM, or expand_braces()'s -E2BIG with its message. */
int unit_args_read(const StrList *words, StrList *ret_names, StrList *ret_paths, Diag *diag);

/* Where the unit `name` would have its file for someone who wrote `word`: in the same directory.
 * The caller frees it. Returns 0 or -ENOMEM. */
int unit_args_path(const char *word, const char *name, char **ret_path);

/* Where the template of an instance at `path` would be: in the same directory. The caller frees it.
 * Returns 0, -EINVAL when it is no instance, or -ENOMEM. */
int unit_args_template_path(const char *path, char **ret_path);

/* Read and parse the unit file at `path`. Returns 0, UNIT_ARGS_E_NO_FILE when nothing but perhaps a
 * directory is there, -ENOMEM, or another negative errno with the cause, which for a parse error
 * names the line. */
int unit_args_load_file(const char *path, UnitFile **ret_file, Diag *diag);
