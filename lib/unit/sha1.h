/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* SHA-1 (FIPS 180-4), for the content address of unit files. Private to lib/unit: others use
 * unit_text_hash(). */

#include <stddef.h>
#include <stdint.h>

enum {
        SHA1_DIGEST_BYTES = 20, /* FIPS 180-4, figure 1 */
};

/* The digest of `n_bytes` bytes. `bytes` may be NULL when there are none. */
void sha1_digest(const void *bytes, size_t n_bytes, uint8_t ret_digest[SHA1_DIGEST_BYTES]);
