/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What every fuzz target has: an entry that libFuzzer calls (https://llvm.org/docs/LibFuzzer.html),
 * or replay.c in its place. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Feed one input to the code under test. Always returns 0; whatever is wrong ends the process. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

/* End the process with a message unless `claim` holds. */
void fuzz_require(bool claim, const char *message);

/* The input as a string, cut at its first NUL; the caller frees it. */
char *fuzz_string(const uint8_t *data, size_t n_bytes);
