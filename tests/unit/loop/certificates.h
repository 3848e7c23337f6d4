/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A folder of certificates for tests of TLS, as tests/lab/certificates makes them. */

#include <stddef.h>

/* The words of one: kind ("authority", "server", "client"), name, and, but for an authority, who
 * vouches for it, its names, and from when to when it is valid; NULL = the usual. */
typedef struct TestCertificate {
        const char *words[6];
} TestCertificate;

/* Make a folder under /tmp with these, NAME.pem and NAME.key each; ends the program when it cannot.
 * Returns its path. */
const char *test_certificates_make(const TestCertificate *certificates, size_t n_certificates);

/* Remove the folder and everything in it. */
void test_certificates_remove(void);
