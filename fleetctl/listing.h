/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the list commands share: fetching, finding the address of a machine, printing. */

#include "fleetctl/cli.h"
#include "fleetctl/filter.h"
#include "fleetctl/table.h"
#include "lib/model/entity.h"

/* What a cell needs besides its row. */
typedef struct ListContext {
        const Page *machines; /* sorted by ID, or without machines when no column needs them */
        bool full;            /* do not shorten */
} ListContext;

/* A list command. */
typedef struct Listing {
        ListKind kind;
        const Column *columns;
        size_t n_columns;
        size_t row_bytes;                             /* size of one entity of that kind */
        int (*compare)(const void *a, const void *b); /* order of the rows, for qsort(3) */
        const char *machine_columns[2]; /* these need the machines' addresses; NULL where unused */
        int (*init_filter)(Filter *filter, const Options *options, const StrList *words,
                           Diag *diag); /* of filter.h */
        /* Add rows that a list of the server's lacks, where they are told apart: in JSON, and where
           the column "state" is shown; may be NULL. */
        int (*complete)(Client *client, Page *page, Diag *diag);
        bool (*keeps)(const Filter *filter, const void *row);        /* is it to be shown? */
        const char *(*tell)(const void *row, const char **ret_name); /* why the row is not where it
                                                                     should be, or NULL; may be
                                                                     NULL */
        int (*complain)(
                int error,
                const Diag *diag); /* say that the list could not be read; returns the exit code */
} Listing;

/* Fetch and print, as --output says; returns the exit code. On a terminal a table is followed by
 * the reasons of the rows that have one, unless they are in a column. */
int listing_run(Cli *cli, const Listing *listing);

/* Append the label of a machine, with its address when it is known (contract section 2.4); nothing
 * for NULL. Errors as buf_append(). */
int listing_append_machine(Buf *cell, const char *machine_id, const ListContext *context);

/* Append a hash, shortened unless --full; nothing for NULL. Errors as buf_append(). */
int listing_append_hash(Buf *cell, const char *hash, const ListContext *context);

/* Append text; nothing for NULL. Errors as buf_append(). */
int listing_append_text(Buf *cell, const char *text);

/* "Error retrieving list of units from repository: ...". */
int listing_complain_units(int error, const Diag *diag);

/* Order of machines, by ID. */
int listing_compare_machines(const void *a, const void *b);

/* Order of units, by name. */
int listing_compare_units(const void *a, const void *b);

/* Order of states, by unit name, then machine ID. */
int listing_compare_states(const void *a, const void *b);
