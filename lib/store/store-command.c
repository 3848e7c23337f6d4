/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/store/store-command.h"

#include <errno.h>

#include "lib/store/store-rules.h"

/* ---- is it one? */

/* The keys that transactions write: `puts` in byte order, of what was looked at so far. One array
 * each for the whole command, whose ends are what the part in question has. */
typedef struct Written {
        StoreBytes *puts;
        size_t n_puts;
        const StoreCommand **deletes;
        size_t n_deletes;
} Written;

static size_t command_count(const StoreCommand *commands, size_t n_commands) {
        size_t n = n_commands;

        for (size_t i = 0; i < n_commands; i++)
                if (commands[i].kind == STORE_COMMAND_TXN)
                        n += command_count(commands[i].then, commands[i].n_then) +
                             command_count(commands[i].otherwise, commands[i].n_otherwise);
        return n;
}

/* Adds the puts from `from` on to those from `first` on: none of them may be there already, or be
 * deleted by those of [first_delete, last_delete). */
static int written_settle(Written *written, size_t first, size_t from, size_t first_delete,
                          size_t last_delete) {
        for (size_t i = first_delete; i < last_delete; i++) {
                const StoreCommand *delete = written->deletes[i];

                /* etcd reads an open end as a range without keys here: what it deletes and what is
                 * put may be the same. They are made in order. */
                if (!store_end_is_open(delete->end) &&
                    store_keys_touch(written->puts + from, written->n_puts - from, delete->key,
                                     delete->end))
                        return STORE_E_TWICE;
        }

        store_keys_sort(written->puts + first, written->n_puts - first);
        return store_keys_repeat(written->puts + first, written->n_puts - first) ? STORE_E_TWICE
                                                                                 : 0;
}

static int written_collect(Written *written, const StoreCommand *commands, size_t n_commands);

/* Both cases of a transaction: only one of them is made, so they may put the same keys. */
static int written_collect_cases(Written *written, const StoreCommand *txn) {
        size_t first = written->n_puts;
        int r = written_collect(written, txn->then, txn->n_then);

        if (r == 0)
                r = written_collect(written, txn->otherwise, txn->n_otherwise);
        written->n_puts = first + store_keys_unite(written->puts + first, written->n_puts - first);
        return r;
}

/* Adds what the commands write. A transaction's puts are held against the deletions of those before
 * it, and not the other way round: so does etcd. */
static int written_collect(Written *written, const StoreCommand *commands, size_t n_commands) {
        size_t first = written->n_puts, first_delete = written->n_deletes, from;
        int r = 0;

        for (size_t i = 0; i < n_commands; i++)
                if (commands[i].kind == STORE_COMMAND_DELETE)
                        written->deletes[written->n_deletes++] = &commands[i];

        for (size_t i = 0; r == 0 && i < n_commands; i++) {
                size_t last_delete = written->n_deletes;

                if (commands[i].kind != STORE_COMMAND_TXN)
                        continue;
                from = written->n_puts;
                r = written_collect_cases(written, &commands[i]);
                if (r == 0)
                        r = written_settle(written, first, from, first_delete, last_delete);
        }

        from = written->n_puts;
        for (size_t i = 0; i < n_commands; i++)
                if (commands[i].kind == STORE_COMMAND_PUT)
                        written->puts[written->n_puts++] = commands[i].key;
        return r == 0 ? written_settle(written, first, from, first_delete, written->n_deletes) : r;
}

static int command_check_written_once(const StoreCommand *txn) {
        size_t n = command_count(txn, 1) - 1;
        _cleanup_(freep) StoreBytes *puts = NULL;
        _cleanup_(freep) const StoreCommand **deletes = NULL;

        if (n < 2)
                return 0;

        puts = calloc(n, sizeof(*puts));
        deletes = calloc(n, sizeof(*deletes));
        if (!puts || !deletes)
                return -ENOMEM;
        return written_collect_cases(&(Written){ .puts = puts, .deletes = deletes }, txn);
}

static int command_check_shape(const StoreCommand *command, size_t max_ops);

static int commands_check_shape(const StoreCommand *commands, size_t n_commands, size_t max_ops) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < n_commands; i++)
                r = command_check_shape(&commands[i], max_ops);
        return r;
}

static int txn_check_shape(const StoreCommand *txn, size_t max_ops) {
        size_t n = txn->n_then > txn->n_otherwise ? txn->n_then : txn->n_otherwise;
        int r;

        n = n > txn->n_tests ? n : txn->n_tests;
        if (n > max_ops)
                return STORE_E_TOO_MANY;
        for (size_t i = 0; i < txn->n_tests; i++)
                if (txn->tests[i].key.n_bytes == 0)
                        return STORE_E_NO_KEY;

        r = commands_check_shape(txn->then, txn->n_then, max_ops - n);
        return r == 0 ? commands_check_shape(txn->otherwise, txn->n_otherwise, max_ops - n) : r;
}

static int command_check_shape(const StoreCommand *command, size_t max_ops) {
        if (command->kind == STORE_COMMAND_TXN)
                return txn_check_shape(command, max_ops);
        if (command->key.n_bytes == 0)
                return STORE_E_NO_KEY;
        if (command->kind != STORE_COMMAND_PUT)
                return 0;
        if (command->keeps_value && command->value.n_bytes > 0)
                return STORE_E_VALUE_GIVEN;
        return command->keeps_lease && command->lease != 0 ? STORE_E_LEASE_GIVEN : 0;
}

int store_command_check(const StoreCommand *command, size_t max_ops) {
        int r = command_check_shape(command, max_ops);

        return r == 0 && command->kind == STORE_COMMAND_TXN ? command_check_written_once(command)
                                                            : r;
}

static bool commands_write(const StoreCommand *commands, size_t n_commands) {
        for (size_t i = 0; i < n_commands; i++)
                if (store_command_writes(&commands[i]))
                        return true;
        return false;
}

bool store_command_writes(const StoreCommand *command) {
        if (command->kind == STORE_COMMAND_TXN)
                return commands_write(command->then, command->n_then) ||
                       commands_write(command->otherwise, command->n_otherwise);
        return command->kind != STORE_COMMAND_RANGE;
}

/* ---- copying: first the structures, which want alignment, then the bytes */

typedef struct Copy {
        char *structures; /* where the next one goes; NULL while sizes are only added up */
        char *bytes;
        size_t n_structure_bytes;
        size_t n_bytes;
} Copy;

static void copy_bytes(Copy *copy, StoreBytes *bytes) {
        copy->n_bytes += bytes->n_bytes;
        if (!copy->structures)
                return;
        if (bytes->n_bytes > 0)
                memcpy(copy->bytes, bytes->data, bytes->n_bytes);
        bytes->data = copy->bytes;
        copy->bytes += bytes->n_bytes;
}

/* An array's place in the copy, filled; or the array itself while sizes are added up. */
static void *copy_array(Copy *copy, const void *array, size_t n_array_bytes) {
        void *to = copy->structures;

        copy->n_structure_bytes += n_array_bytes;
        if (!to)
                return (void *)array;
        if (n_array_bytes > 0)
                memcpy(to, array, n_array_bytes);
        copy->structures += n_array_bytes;
        return to;
}

static const StoreTest *copy_tests(Copy *copy, const StoreTest *from, size_t n) {
        StoreTest *tests = copy_array(copy, from, n * sizeof(*from));

        for (size_t i = 0; i < n; i++) {
                StoreTest test = from[i];

                copy_bytes(copy, &test.key);
                copy_bytes(copy, &test.end);
                copy_bytes(copy, &test.value);
                if (copy->structures)
                        tests[i] = test;
        }
        return tests;
}

static StoreCommand *copy_commands(Copy *copy, const StoreCommand *from, size_t n) {
        StoreCommand *commands = copy_array(copy, from, n * sizeof(*from));

        for (size_t i = 0; i < n; i++) {
                StoreCommand command = from[i];

                if (command.kind == STORE_COMMAND_TXN) {
                        command.tests = copy_tests(copy, from[i].tests, from[i].n_tests);
                        command.then = copy_commands(copy, from[i].then, from[i].n_then);
                        command.otherwise = copy_commands(copy, from[i].otherwise,
                                                          from[i].n_otherwise);
                } else {
                        bool is_put = command.kind == STORE_COMMAND_PUT;

                        copy_bytes(copy, &command.key);
                        copy_bytes(copy, is_put ? &command.value : &command.end);
                }
                if (copy->structures)
                        commands[i] = command;
        }
        return commands;
}

int store_command_copy(StoreCommand **ret_copy, const StoreCommand *command, size_t *ret_n_bytes) {
        Copy copy = { 0 };
        size_t n_bytes;
        char *block;

        (void)copy_commands(&copy, command, 1);
        n_bytes = copy.n_structure_bytes + copy.n_bytes;
        block = malloc(n_bytes + 1);
        if (!block)
                return -ENOMEM;

        copy = (Copy){ .structures = block, .bytes = block + copy.n_structure_bytes };
        *ret_copy = copy_commands(&copy, command, 1);
        if (ret_n_bytes)
                *ret_n_bytes = n_bytes;
        return 0;
}

/* ---- answers */

void store_answer_done(StoreAnswer *answer) {
        sqlite_rows_done(&answer->rows);
        for (size_t i = 0; i < answer->n_answers; i++)
                store_answer_done(&answer->answers[i]);
        free(answer->answers);
        *answer = (StoreAnswer){ 0 };
}
