/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How a request that was refused, or did not work, ends for the client: etcd's codes and words
 * (api/v3rpc/rpctypes/error.go, the same from 3.4 to 3.6), by which clients tell causes apart. */

#include "lib/store/grpc-status.h"
#include "lib/store/store-command.h"
#include "lib/store/store-etcd-outcome.h"

/* An end with its words, which are static. */
typedef struct ServeEnd {
        GrpcCode code;
        const char *words;
} ServeEnd;

/* The end for an outcome of store-command.h or store.h, or a negative errno; `status` is not 0. */
ServeEnd serve_end_of(int status);

/* Why nothing can be answered while the file cannot be used: GRPC_UNAVAILABLE, with words that begin
 * with STORE_UNUSABLE_WORDS. `words` has room for `n_bytes`. */
void serve_unusable_words(const char *why, char *words, size_t n_bytes);
