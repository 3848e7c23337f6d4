/* SPDX-License-Identifier: Apache-2.0 */

/* An echo may come before the answer to its commit, or after the next commit has begun; one commit
 * is in flight at a time. Where more echoes are on their way than are remembered, one of our own
 * looks like somebody else's: then something is read again for nothing. */

#include "lib/registry/own-writes.h"

static bool is_own(const OwnWrites *own, int64_t revision) {
        for (size_t i = 0; i < OWN_WRITES_MAX; i++)
                if (own->revisions[i] == revision)
                        return true;
        return false;
}

bool own_writes_told(OwnWrites *own, int64_t revision, bool is_writing) {
        if (is_own(own, revision) || revision == own->unclear)
                return false;
        if (!is_writing || own->unclear != 0)
                return true;

        own->unclear = revision;
        return false;
}

bool own_writes_ended(OwnWrites *own, int64_t revision) {
        int64_t unclear = own->unclear;

        own->unclear = 0;
        if (revision > 0)
                own->revisions[own->n_written++ % OWN_WRITES_MAX] = revision;
        return unclear != 0 && unclear != revision;
}
