/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the end of a gRPC call to etcd means for a request of the store. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/env.h"
#include "lib/store/grpc-status.h"

/* How a built-in store that is served (lib/serve) begins to say that it cannot use its file; then it
 * has done nothing of what it was asked. */
#define STORE_UNUSABLE_WORDS "the built-in store cannot be used"

/* What stands in its version, behind that of the etcd whose API it has. */
#define STORE_SERVED_MARK "+fleet-"

enum {
        ETCD_PATIENCE_US =
                1 *
                US_PER_S, /* a call that had less time than this accuses nobody when it runs out */
};

/* The STORE_E_* of a call that ended with anything but GRPC_OK. `elapsed_us` is the time since
 * it was sent. Never 0. */
int etcd_outcome(const GrpcStatus *status, bool is_write, uint64_t elapsed_us);

/* Is the member unfit to go on with: it, its connection or its cluster's leader did not serve?
 * `budget_us` is the time that the call had: running out of less than ETCD_PATIENCE_US says
 * nothing. */
bool etcd_status_blames_member(const GrpcStatus *status, uint64_t budget_us);

/* Was the call refused for its token, so that a fresh one may help? */
bool etcd_status_wants_token(const GrpcStatus *status);
