/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Certificates and keys from PEM files. A message names the file, and says what is wrong with it.
 */

#include <openssl/ssl.h>

#include "lib/base/diag.h"

/* Trust the certificate authorities of the file and nobody else. Returns 0, -ENOMEM, or a negative
 * errno with a message. */
int tls_trust_file(SSL_CTX *context, const char *path, Diag *diag);

/* Show this certificate, with the rest of the file as the chain to its CA, to a server that asks,
 * and prove it by the key. Returns 0, -ENOMEM, or a negative errno with a message. */
int tls_use_files(SSL *ssl, const char *cert_path, const char *key_path, Diag *diag);
