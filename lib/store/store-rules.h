/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The rules that every store of our own follows, as pure functions; where etcd has an opinion on a
 * corner, they are etcd's:
 *
 * - an empty key is refused; an end before the key is an empty range; on an empty range a
 *   comparison sees 0;
 * - a key written twice is refused, whether or not the comparisons hold; deletions may overlap;
 * - an unknown lease refuses the transaction only when its operations are to be made;
 * - a transaction that changes nothing has no revision of its own;
 * - a revision of the future is answered like one that is gone: what is known of it is useless,
 *   list again.
 *
 * Only the backends in lib/store, and lib/serve, include this.
 */

#include "lib/store/store-command.h"
#include "lib/store/store.h"

/* Byte order. */
int store_bytes_compare(StoreBytes a, StoreBytes b);

/* Does a range with this end have none? An end of one zero byte says so, as in etcd. */
bool store_end_is_open(StoreBytes end);

/* Is `key` in the range? Empty end = only `start`; an open end = everything from `start` on. */
bool store_bytes_is_in_range(StoreBytes key, StoreBytes start, StoreBytes end);

/* Put keys into byte order. */
void store_keys_sort(StoreBytes *keys, size_t n_keys);

/* Is one of the keys, which are in byte order, there twice? */
bool store_keys_repeat(const StoreBytes *keys, size_t n_keys);

/* Put keys into byte order, each once. Returns how many there are then. */
size_t store_keys_unite(StoreBytes *keys, size_t n_keys);

/* Is one of the keys, which are in byte order, in the range? */
bool store_keys_touch(const StoreBytes *keys, size_t n_keys, StoreBytes start, StoreBytes end);

/* May the range be read from a store at `revision` whose history below `compacted` is gone? Returns
 * 0 or a STORE_E_*. */
int store_range_check(const StoreRange *range, int64_t revision, int64_t compacted);

/* Is the transaction small enough? Returns 0 or STORE_E_TOO_LARGE. */
int store_txn_check_size(const StoreTxn *txn);

/* Is it a transaction at all, whatever is in the store? Returns 0, a STORE_E_*, or -ENOMEM. */
int store_txn_check(const StoreTxn *txn);

/* The comparison as a test. */
StoreTest store_test_of(const StoreCompare *compare);

/* Does the test hold for a key that has this? NULL = for no key. What it does not compare need not
 * be set. */
bool store_test_holds(const StoreTest *test, const StoreKv *kv);
