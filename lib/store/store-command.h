/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Everything that etcd's KV service can be asked, as the built-in store carries it out. The daemon
 * itself asks through store.h, which needs less of it and comes to the same code; store-serving.h
 * takes these commands from who serves the store to others. Where nothing else is said, a field
 * means what it does in etcd's API, and a corner is what etcd 3.4 makes of it.
 */

#include "lib/store/sqlite-rows.h"
#include "lib/store/store.h"

/* Outcomes that only commands and the requests of store-serving.h have. They follow the STORE_E_*,
 * which these can end with, too. */
enum {
        STORE_E_NO_KEY = _STORE_E_MAX, /* a key is empty */
        STORE_E_FUTURE,         /* the revision asked for has not come yet (STORE_E_COMPACTED is
                                   here only what was compacted away) */
        STORE_E_TWICE,          /* the transaction writes a key twice */
        STORE_E_TOO_MANY,       /* the transaction has too many comparisons or commands */
        STORE_E_ABSENT,         /* what a put is to keep is not there: no such key */
        STORE_E_VALUE_GIVEN,    /* a put brings the value that it says it keeps */
        STORE_E_LEASE_GIVEN,    /* a put brings the lease that it says it keeps */
        STORE_E_LEASE_EXISTS,   /* a lease has this ID already */
        STORE_E_LEASE_TOO_LONG, /* over STORE_LEASE_TTL_MAX_S */
        _STORE_COMMAND_E_MAX,
};

/* What a command is. */
typedef enum StoreCommandKind {
        STORE_COMMAND_RANGE,
        STORE_COMMAND_PUT,
        STORE_COMMAND_DELETE,
        STORE_COMMAND_TXN,
} StoreCommandKind;

/* One comparison of a transaction. A key that does not exist has version, revisions and lease 0;
 * no comparison with its value holds. */
typedef struct StoreTest {
        StoreBytes key;
        StoreBytes end; /* as in StoreCommand: the test must hold for every key in the range; where
                           there is none, it is made once for a key that does not exist */
        enum {
                STORE_TEST_VERSION,
                STORE_TEST_CREATE,
                STORE_TEST_MOD,
                STORE_TEST_VALUE,
                STORE_TEST_LEASE,
        } target;
        enum {
                STORE_TEST_EQUAL,
                STORE_TEST_GREATER,
                STORE_TEST_LESS,
                STORE_TEST_NOT_EQUAL,
        } result;
        int64_t number;   /* what it is compared with, unless that is the value */
        StoreBytes value; /* what the value is compared with, in byte order */
} StoreTest;

/* A command; everything in it is borrowed. The members of other kinds than its own are not read.
 *
 * A transaction is made as a whole or not at all. All its comparisons, those of the transactions
 * within it included, and whether leases exist, are looked up before anything of it is made; then
 * its commands are made in order, and each sees what those before it did. All that it writes is one
 * revision; one that writes nothing has none of its own. */
typedef struct StoreCommand {
        StoreCommandKind kind;
        StoreBytes key; /* range, put, delete; not empty */
        StoreBytes end; /* range, delete: empty = the key alone; one zero byte = everything from the
                           key on; else all keys k with key <= k < end */

        /* Put. */
        StoreBytes value;
        int64_t lease;    /* 0 = none */
        bool keeps_value; /* the key's value stays; there must be one, and `value` is empty */
        bool keeps_lease; /* the key's lease stays; there must be one, and `lease` is 0 */

        bool wants_previous; /* put, delete: the answer has what was there before */

        /* Range. Its rows come in byte order of the keys. Another order, and limits of the
         * revisions, are the caller's to make: such a range is asked for without a limit. */
        int64_t revision; /* as of then; 0 = now (or earlier, too, inside of a transaction) */
        int64_t limit;    /* 0 = all */
        bool keys_only;   /* values come empty */
        bool counts_all;  /* the answer's count is that of the whole range, whatever the limit;
                              else that of the rows */
        bool counts_only; /* no rows; implies the one before */

        /* Transaction. */
        const StoreTest *tests;
        size_t n_tests;
        const struct StoreCommand *then; /* made when all tests hold */
        size_t n_then;
        const struct StoreCommand *otherwise; /* made when one does not */
        size_t n_otherwise;
} StoreCommand;

/* What came of a command. Zeroed is none. */
typedef struct StoreAnswer {
        StoreCommandKind kind;
        SqliteRows rows;  /* owned. Range: what was found; put, delete: what was there before, if
                             that is wanted */
        int64_t count;    /* range: keys in the range; delete: those deleted */
        bool more;        /* range: the limit cut it */
        bool succeeded;   /* txn: all tests held */
        int64_t revision; /* the store's when the command was done; within a transaction: that of
                             the transaction, from the first command on that wrote */
        struct StoreAnswer *answers; /* txn: of each command that was made; owned */
        size_t n_answers;
} StoreAnswer;

/* Is it a command at all, whatever is in the store? A transaction may have up to `max_ops`
 * comparisons, as many commands for either case, and so on within, each level taking its own off
 * what the one below may have: as etcd counts. Returns 0, a STORE_E_*, or -ENOMEM. */
int store_command_check(const StoreCommand *command, size_t max_ops);

/* Can it write? */
bool store_command_writes(const StoreCommand *command);

/* Copy a command with everything in it. Returns 0 or -ENOMEM; the copy is one allocation, freed with
 * free(). `*ret_n_bytes` (may be NULL) is its size. */
int store_command_copy(StoreCommand **ret_copy, const StoreCommand *command, size_t *ret_n_bytes);

/* Free what an answer owns. */
void store_answer_done(StoreAnswer *answer);
