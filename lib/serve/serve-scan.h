/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A look at the bytes of a TxnRequest before they are decoded: how many comparisons and operations it
 * has, and how deep transactions are nested in one another. Decoded, each of them takes a hundred
 * times the two bytes that it takes at least in the message, and each level a piece of the stack; so
 * what is over the limits must not be decoded. */

#include <stddef.h>
#include <stdint.h>

/* Count as etcd does: of comparisons, and of operations for either case, there are at most `max_ops`;
 * a transaction within may have so many fewer as the longest of these lists is long. Returns 0,
 * STORE_E_TOO_MANY, or -EBADMSG for bytes that are no message. */
int serve_scan_txn(const uint8_t *bytes, size_t n_bytes, size_t max_ops);
