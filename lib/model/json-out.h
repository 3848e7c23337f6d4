/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Writing JSON straight into a Buf. Private to lib/model. The caller writes members in alphabetical
 * order of their keys; commas are put by the writer. Errors stick: the first one is returned by
 * json_out_end(), and everything after it is skipped.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/strlist.h"
#include "lib/model/metadata.h"
#include "lib/model/restarts.h"

/* One JSON value under construction. */
typedef struct JsonOut {
        Buf *buf;         /* borrowed */
        size_t start;     /* where in `buf` the value starts: what is cut off again on error */
        int error;        /* the first error, or 0 */
        bool needs_comma; /* before the next member or element */
} JsonOut;

/* Begin to append a value to `buf`. */
JsonOut json_out_begin(Buf *buf);

/* Returns the first error: 0, buf_append()'s, or -ERANGE for a number; on error `buf` is as it was
 * at json_out_begin(). */
int json_out_end(JsonOut *out);

/* Open and close objects ('{', '}') and arrays ('[', ']'). */
void json_out_open(JsonOut *out, char bracket);
void json_out_close(JsonOut *out, char bracket);

/* A member's key; a value must follow. */
void json_out_key(JsonOut *out, const char *key);

/* A member with a string value, left out when `value` is NULL or empty. */
void json_out_string(JsonOut *out, const char *key, const char *value);

/* A member with a string value, also when it is empty. */
void json_out_any_string(JsonOut *out, const char *key, const char *value);

/* A member that is true, left out when `value` is false. */
void json_out_true(JsonOut *out, const char *key, bool value);

/* A member that is null. */
void json_out_null(JsonOut *out, const char *key);

/* An element of an array: a string. */
void json_out_element(JsonOut *out, const char *value);

/* A member with a number, also when it is 0. Numbers over INT64_MAX, which readers refuse, are
 * -ERANGE. */
void json_out_number(JsonOut *out, const char *key, uint64_t number);

/* The object of a metadata's entries, those with empty values, too. */
void json_out_metadata(JsonOut *out, const Metadata *metadata);

/* A member with an array of strings. */
void json_out_strings(JsonOut *out, const char *key, const StrList *strings);

/* The object of restarts: their generations by machine. */
void json_out_restarts(JsonOut *out, const Restarts *restarts);

/* Finish a record: as json_out_end(), and hand out the text of `buf`, which the caller frees. */
int json_out_finish(JsonOut *out, char **ret_json);
