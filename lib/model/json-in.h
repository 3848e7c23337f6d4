/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Reading JSON that a peer wrote. Private to lib/model: no json_t goes further than this directory.
 *
 * All functions return 0; -ENOMEM; or -EBADMSG with a message in `diag` (may be NULL) that names
 * the member. A member that is absent and one that is null are the same, and keys match without
 * regard to case where no exact one is there: so fleet 1.0 read its requests. Out-params are
 * written on success only; strings and metadata are owned by the caller.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/diag.h"
#include "lib/base/strlist.h"
#include "lib/model/job-state.h"
#include "lib/model/metadata.h"
#include "lib/model/restarts.h"
#include "lib/unit/unit-file.h"

/* Parse a text whose outermost value is of `type` (JSON_OBJECT or JSON_ARRAY). The caller drops the
 * reference. */
int json_in_parse(const char *json, size_t n_bytes, json_type type, json_t **ret_root, Diag *diag);

/* The value of a member, or NULL when it is absent or null. Borrowed from the object. */
json_t *json_in_get(const json_t *object, const char *key);

/* The member's array; NULL when it is absent or null. Borrowed. */
int json_in_get_array(const json_t *object, const char *key, json_t **ret_array, Diag *diag);

/* A copy of the member's string; NULL when it is absent, null or empty. */
int json_in_get_string(const json_t *object, const char *key, char **ret_string, Diag *diag);

/* A copy of the member's string, which must be there and not be empty. */
int json_in_require_string(const json_t *object, const char *key, char **ret_string, Diag *diag);

/* A copy of the member's string; empty when it is absent or null. */
int json_in_get_any_string(const json_t *object, const char *key, char **ret_string, Diag *diag);

/* The member's truth value; false when it is absent or null. */
int json_in_get_bool(const json_t *object, const char *key, bool *ret_value, Diag *diag);

/* The member's number, an integer from 0; 0 when it is absent or null. */
int json_in_get_number(const json_t *object, const char *key, uint64_t *ret_number, Diag *diag);

/* The member's hash (40 lower-case hex digits); empty when it is absent, null or empty. */
int json_in_get_hash(const json_t *object, const char *key, char ret_hash[UNIT_HASH_BYTES],
                     Diag *diag);

/* The member's job state, which must be there. */
int json_in_require_state(const json_t *object, const char *key, JobState *ret_state, Diag *diag);

/* The metadata that an object of strings holds. */
int json_in_read_metadata(const json_t *object, Metadata *ret_metadata, Diag *diag);

/* The member's metadata; empty when it is absent or null. */
int json_in_get_metadata(const json_t *object, const char *key, Metadata *ret_metadata, Diag *diag);

/* The member's array of strings; empty when it is absent or null. */
int json_in_get_strings(const json_t *object, const char *key, StrList *ret_strings, Diag *diag);

/* The member's restarts, an object of numbers by machine; empty when it is absent or null. */
int json_in_get_restarts(const json_t *object, const char *key, Restarts *ret_restarts, Diag *diag);
