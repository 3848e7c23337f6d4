/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who this machine is, for the cluster. */

#include "lib/base/diag.h"

enum { IDENTITY_MACHINE_BYTES = 33 /* 32 hexadecimal digits, NUL (machine-id(5)) */ };

/* Strings owned. */
typedef struct Identity {
        char machine[IDENTITY_MACHINE_BYTES]; /* /etc/machine-id */
        char *boot_id;  /* of this boot (random(4)), or NULL when the kernel does not say */
        char *hostname; /* or NULL */
} Identity;

/* Read it from below `root` ("" for this machine). Returns 0, -ENOMEM, or a negative errno with a
 * message when there is no usable machine ID. */
int identity_read(Identity *ret_identity, const char *root, Diag *diag);

/* Free the members (zeroed afterwards). */
void identity_done(Identity *identity);

/* The interface of the IPv4 default route with the lowest metric in the text of /proc/net/route
 * (proc(5)), or NULL. The caller frees; NULL also on out of memory. The text is changed on the way.
 */
char *default_route_interface(char *routes);

/* The first global IPv4 address of the interface that has the default route, as text that the
 * caller frees. Returns 0, -ENOMEM, or -ENOENT when there is none at the moment. */
int default_address(char **ret_address);
