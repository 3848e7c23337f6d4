/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/serve/serve-status.h"

#include <errno.h>
#include <stdio.h>

/* One row per outcome; what is not here is GRPC_UNAVAILABLE. */
static const struct {
        int status;
        ServeEnd end;
} ends[] = {
        { STORE_E_NO_KEY, { GRPC_INVALID_ARGUMENT, "etcdserver: key is not provided" } },
        { STORE_E_ABSENT, { GRPC_INVALID_ARGUMENT, "etcdserver: key not found" } },
        { STORE_E_VALUE_GIVEN, { GRPC_INVALID_ARGUMENT, "etcdserver: value is provided" } },
        { STORE_E_LEASE_GIVEN, { GRPC_INVALID_ARGUMENT, "etcdserver: lease is provided" } },
        { STORE_E_TWICE,
          { GRPC_INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request" } },
        { STORE_E_TOO_MANY,
          { GRPC_INVALID_ARGUMENT, "etcdserver: too many operations in txn request" } },
        { STORE_E_TOO_LARGE, { GRPC_INVALID_ARGUMENT, "etcdserver: request is too large" } },
        { STORE_E_INVALID, { GRPC_INVALID_ARGUMENT, "the request is malformed" } },
        { STORE_E_COMPACTED,
          { GRPC_OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted" } },
        { STORE_E_FUTURE,
          { GRPC_OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision" } },
        { STORE_E_LEASE_TOO_LONG, { GRPC_OUT_OF_RANGE, "etcdserver: too large lease TTL" } },
        { STORE_E_LEASE_EXISTS, { GRPC_FAILED_PRECONDITION, "etcdserver: lease already exists" } },
        { STORE_E_NO_LEASE, { GRPC_NOT_FOUND, "etcdserver: requested lease not found" } },
        { STORE_E_NO_SPACE,
          { GRPC_RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded" } },
        { STORE_E_UNREACHABLE, { GRPC_UNAVAILABLE, "etcdserver: request timed out" } },
        { STORE_E_UNKNOWN,
          { GRPC_UNAVAILABLE, "the disk failed while this was written: it may have been made or "
                              "not" } },
        { -EBADMSG, { GRPC_INTERNAL, "the message cannot be decoded" } },
        { -ENOMEM, { GRPC_UNAVAILABLE, "out of memory" } },
        { -EBUSY, { GRPC_RESOURCE_EXHAUSTED, "etcdserver: too many requests" } },
        { -ENOBUFS, { GRPC_RESOURCE_EXHAUSTED, "the client does not take its answers" } },
        { -EMSGSIZE,
          { GRPC_RESOURCE_EXHAUSTED, "the answer is too large for a message: ask with a limit" } },
};

ServeEnd serve_end_of(int status) {
        for (size_t i = 0; i < ELEMENTSOF(ends); i++)
                if (ends[i].status == status)
                        return ends[i].end;
        return (ServeEnd){ GRPC_UNAVAILABLE, "the request was given up" };
}

void serve_unusable_words(const char *why, char *words, size_t n_bytes) {
        (void)snprintf(words, n_bytes, "%s%s%s", STORE_UNUSABLE_WORDS, why[0] ? ": " : "", why);
}
