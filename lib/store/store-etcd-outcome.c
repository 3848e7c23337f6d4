/* SPDX-License-Identifier: Apache-2.0 */

/* The meaning of gRPC statuses that etcd sends, as one table by code. Only where etcd uses one code
 * for several things does the text decide; texts are matched as substrings, and a text that is not
 * known leads to the cautious reading. The texts are etcd's public error strings
 * (api/v3rpc/rpctypes/error.go), the same from 3.4 to 3.6.
 */

#include "lib/store/store-etcd-outcome.h"

#include <assert.h>
#include <string.h>

#include "lib/base/env.h"
#include "lib/base/macro.h"
#include "lib/store/store.h"

enum {
        /* A refusal that names a cause but came this late may stem from a request that had been
         * taken on. */
        REFUSED_AT_ONCE_US = 1 * US_PER_S,
};

/* Texts that tell apart what shares a code. */
static const struct {
        GrpcCode code;
        const char *text; /* part of grpc-message */
        int outcome;
} outcomes_by_text[] = {
        { GRPC_INVALID_ARGUMENT, "request is too large", STORE_E_TOO_LARGE },
        { GRPC_INVALID_ARGUMENT, "user name is empty", STORE_E_DENIED },
        { GRPC_INVALID_ARGUMENT, "revision of auth store is old", STORE_E_DENIED },
        { GRPC_INVALID_ARGUMENT, "authentication failed", STORE_E_DENIED },
        { GRPC_RESOURCE_EXHAUSTED, "database space exceeded", STORE_E_NO_SPACE },
        { GRPC_RESOURCE_EXHAUSTED, "larger than max", STORE_E_TOO_LARGE },
        { GRPC_RESOURCE_EXHAUSTED, "too many requests", STORE_E_UNREACHABLE },
        { GRPC_OUT_OF_RANGE, "TTL", STORE_E_INVALID },
        { GRPC_UNAVAILABLE, STORE_UNUSABLE_WORDS, STORE_E_UNREACHABLE },
};

int etcd_outcome(const GrpcStatus *status, bool is_write, uint64_t elapsed_us) {
        int lost = is_write && status->may_have_run ? STORE_E_UNKNOWN : STORE_E_UNREACHABLE;

        assert(status->code != GRPC_OK);

        if (status->is_local)
                return status->code == GRPC_RESOURCE_EXHAUSTED && !is_write ? STORE_E_TOO_LARGE
                                                                            : lost;

        for (size_t i = 0; i < ELEMENTSOF(outcomes_by_text); i++)
                if (outcomes_by_text[i].code == status->code &&
                    strstr(status->message, outcomes_by_text[i].text))
                        return outcomes_by_text[i].outcome;

        switch (status->code) {
        case GRPC_INVALID_ARGUMENT:
        case GRPC_ALREADY_EXISTS:
        case GRPC_FAILED_PRECONDITION:
        case GRPC_UNIMPLEMENTED:
                return STORE_E_INVALID;
        case GRPC_NOT_FOUND:
                return STORE_E_NO_LEASE;
        case GRPC_PERMISSION_DENIED:
        case GRPC_UNAUTHENTICATED:
                return STORE_E_DENIED;
        case GRPC_OUT_OF_RANGE:
                return STORE_E_COMPACTED;
        case GRPC_UNAVAILABLE:
                /* `hasleader` makes a member that knows of no leader refuse before it does
                 * anything. */
                if (elapsed_us < REFUSED_AT_ONCE_US &&
                    strstr(status->message, "etcdserver: no leader"))
                        return STORE_E_UNREACHABLE;
                return lost;
        default:
                return lost;
        }
}

bool etcd_status_blames_member(const GrpcStatus *status, uint64_t budget_us) {
        switch (status->code) {
        case GRPC_OK:
        case GRPC_INVALID_ARGUMENT:
        case GRPC_NOT_FOUND:
        case GRPC_ALREADY_EXISTS:
        case GRPC_PERMISSION_DENIED:
        case GRPC_RESOURCE_EXHAUSTED:
        case GRPC_FAILED_PRECONDITION:
        case GRPC_OUT_OF_RANGE:
        case GRPC_UNAUTHENTICATED:
                return status->is_local && status->code != GRPC_RESOURCE_EXHAUSTED;
        case GRPC_DEADLINE_EXCEEDED:
        case GRPC_CANCELLED:
        case GRPC_UNKNOWN: /* etcd's own word for a deadline that passed inside it */
                return budget_us >= ETCD_PATIENCE_US;
        default:
                return true;
        }
}

bool etcd_status_wants_token(const GrpcStatus *status) {
        if (status->is_local)
                return false;
        return status->code == GRPC_UNAUTHENTICATED ||
               (status->code == GRPC_INVALID_ARGUMENT &&
                (strstr(status->message, "user name is empty") ||
                 strstr(status->message, "revision of auth store is old")));
}
