/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the command line and the environment said: one field per flag. The flag tables name the
 * fields. */

#include <stdbool.h>
#include <stdint.h>

/* A whole number, and whether it was given at all. */
typedef struct Count {
        uint64_t value;
        bool is_given;
} Count;

/* Every flag of every command. Strings are borrowed from argv, the environment or the flag tables.
 */
typedef struct Options {
        /* global */
        const char *endpoint; /* URL of the API, or a comma-separated list: the first counts */
        const char *driver;   /* how to talk to the cluster: "API" */
        const char *etcd_key_prefix; /* accepted and ignored: only fleetd talks to etcd */
        const char *ca_file;   /* PEM: who may sign the endpoint's certificate; NULL or empty =
                                        whom the system trusts */
        const char *cert_file; /* PEM: our certificate; NULL or empty = none */
        const char *key_file;  /* PEM: its private key; NULL or empty = none */
        uint64_t request_timeout_ms;   /* longest silence of the API */
        bool debug;                    /* log each request */
        bool experimental_api;         /* accepted and ignored: there is no other API */
        const char *tunnel;            /* HOST[:PORT] that everything goes through, or NULL */
        const char *ssh_username;      /* NULL = not given: ssh's configuration, then "core" */
        uint64_t ssh_timeout_ms;       /* until an SSH connection stands */
        const char *known_hosts_file;  /* path, "~" not yet expanded */
        bool strict_host_key_checking; /* are SSH hosts' keys checked? */
        bool help;                     /* show the help text of the command instead of running it */
        bool version;                  /* show the version instead of running anything */

        /* commands that change units */
        Count block_attempts; /* how often WAIT_ATTEMPT_MS to wait; 0 = for ever */
        Count parallel;       /* how many restarts at a time */
        bool no_block;        /* do not wait for the outcome */
        bool replace;         /* replace units whose local file differs */
        bool sign;            /* accepted and ignored, as fleet 1.0 did */

        /* status, journal, ssh */
        Count ssh_port;     /* of the machines */
        const char *unit;   /* name, or NULL */
        bool forward_agent; /* may the machine use the SSH agent? */
        Count lines;        /* how many lines of the journal */
        bool follow;        /* wait for more lines */
        bool sudo;          /* read the journal as root */
        const char *output; /* journalctl's own formats */

        /* lists */
        const char *fields; /* comma-separated columns */
        bool full;          /* do not shorten IDs and hashes */
        bool no_legend;     /* leave out the header */
        const char *format; /* "table" or "json" */

        /* which rows of a list; comma-separated, NULL = all */
        const char *state;    /* current states */
        const char *dstate;   /* desired states */
        const char *machine;  /* beginnings of machine IDs; one in status, journal and ssh */
        const char *metadata; /* KEY=VALUE */
} Options;
