/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The kinds of values that configuration keys have. Each reader takes the text of a value and
 * stores it at `target`, freeing what was there. Returns 0, -ENOMEM, or -EINVAL with a message in
 * `diag` that says what is wrong and what would be right; then the target is as it was.
 */

#include "lib/base/diag.h"

/* bool: true, yes, on, 1, or false, no, off, 0; case does not matter. */
int config_value_bool(const char *text, void *target, Diag *diag);

/* int: 0 to 100. */
int config_value_verbosity(const char *text, void *target, Diag *diag);

/* uint16_t: 1 to 65535. */
int config_value_page_size(const char *text, void *target, Diag *diag);

/* EvictRule: a number of machines from 0 to 65535, or a share of them from 1% to 100%. */
int config_value_evictions(const char *text, void *target, Diag *diag);

/* double: a number of seconds, from 0.1 to a day. */
int config_value_seconds(const char *text, void *target, Diag *diag);

/* uint64_t: a duration (fleetd/duration.h) from 2 s, the shortest lease that etcd grants, to a day;
 * in microseconds. */
int config_value_ttl(const char *text, void *target, Diag *diag);

/* uint64_t: a duration from 0 to a day, in microseconds. */
int config_value_duration(const char *text, void *target, Diag *diag);

/* char *: anything. */
int config_value_string(const char *text, void *target, Diag *diag);

/* char *: an IPv4 or IPv6 address, or nothing. */
int config_value_address(const char *text, void *target, Diag *diag);

/* char *: an absolute path. */
int config_value_path(const char *text, void *target, Diag *diag);

/* char *: an absolute path, or nothing. */
int config_value_optional_path(const char *text, void *target, Diag *diag);

/* char *: 1 to 255 printable ASCII characters without blanks, since it becomes part of every key.
 */
int config_value_prefix(const char *text, void *target, Diag *diag);

/* StoreMode: auto, builtin, etcd. */
int config_value_store(const char *text, void *target, Diag *diag);

/* StrList: addresses to listen on (serve_address_parse()), separated by commas; none is nowhere. */
int config_value_listen(const char *text, void *target, Diag *diag);

/* StrList: URLs http://HOST:PORT or https://HOST:PORT separated by commas; brackets around the list
 * and quotes around a URL are allowed. No text at all is no server. */
int config_value_endpoints(const char *text, void *target, Diag *diag);

/* Metadata: k=v,k=v (metadata_parse()). */
int config_value_metadata(const char *text, void *target, Diag *diag);
