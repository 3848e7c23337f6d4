/* SPDX-License-Identifier: Apache-2.0 */

/* SHA-1 after FIPS 180-4, sections 5.1.1 (padding), 5.3.1 (initial value) and 6.1.2 (computation).
 *
 * Why an own one: linking a crypto library for this would cost the daemon of every machine 2 MB.
 * Why SHA-1: it is the content address of a unit file, which the contract fixes (section 5.4) so
 * that hashes stay those that users know from fleet 1.0. It is not used for security: whoever may
 * submit unit files is root on the cluster anyway.
 *
 * The whole input is at hand, so there is no running state between calls: full blocks are digested
 * where they lie, the last one or two are put together on the stack. It does not wipe anything;
 * unit files are no secrets of their own hash.
 */

#include "lib/unit/sha1.h"

#include <assert.h>
#include <string.h>

enum {
        BLOCK_BYTES = 64, /* FIPS 180-4, section 5.2.1 */
        LENGTH_BYTES = 8, /* the message's length in bits, at the end of the last block */
        N_ROUNDS = 80,    /* section 6.1.2 */
};

static uint32_t rotate_left(uint32_t word, unsigned n_bits) {
        return word << n_bits | word >> (32 - n_bits);
}

static uint32_t read_big_endian(const uint8_t *bytes) {
        return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
               bytes[3];
}

static void write_big_endian(uint8_t *bytes, uint64_t number, size_t n_bytes) {
        for (size_t i = n_bytes; i-- > 0; number >>= 8)
                bytes[i] = (uint8_t)number;
}

/* Sections 4.1.1 and 4.2.1: the function and the constant of each quarter of the rounds. */
static uint32_t mix(size_t round, uint32_t b, uint32_t c, uint32_t d) {
        if (round < 20)
                return ((b & c) ^ (~b & d)) + UINT32_C(0x5a827999);
        if (round < 40)
                return (b ^ c ^ d) + UINT32_C(0x6ed9eba1);
        if (round < 60)
                return ((b & c) ^ (b & d) ^ (c & d)) + UINT32_C(0x8f1bbcdc);
        return (b ^ c ^ d) + UINT32_C(0xca62c1d6);
}

static void digest_block(uint32_t state[5], const uint8_t *block) {
        uint32_t schedule[N_ROUNDS];
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];

        for (size_t t = 0; t < 16; t++)
                schedule[t] = read_big_endian(block + 4 * t);
        for (size_t t = 16; t < N_ROUNDS; t++)
                schedule[t] = rotate_left(
                        schedule[t - 3] ^ schedule[t - 8] ^ schedule[t - 14] ^ schedule[t - 16], 1);

        for (size_t t = 0; t < N_ROUNDS; t++) {
                uint32_t next = rotate_left(a, 5) + mix(t, b, c, d) + e + schedule[t];

                e = d;
                d = c;
                c = rotate_left(b, 30);
                b = a;
                a = next;
        }

        state[0] += a;
        state[1] += b;
        state[2] += c;
        state[3] += d;
        state[4] += e;
}

void sha1_digest(const void *bytes, size_t n_bytes, uint8_t ret_digest[SHA1_DIGEST_BYTES]) {
        uint32_t state[5] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 };
        uint8_t tail[2 * BLOCK_BYTES] = { 0 };
        const uint8_t *next = bytes;
        size_t n_left = n_bytes, n_tail;

        assert(bytes || n_bytes == 0);

        for (; n_left >= BLOCK_BYTES; n_left -= BLOCK_BYTES, next += BLOCK_BYTES)
                digest_block(state, next);

        if (n_left > 0)
                memcpy(tail, next, n_left);
        tail[n_left] = 0x80;
        n_tail = n_left + 1 + LENGTH_BYTES <= BLOCK_BYTES ? BLOCK_BYTES : 2 * BLOCK_BYTES;
        write_big_endian(tail + n_tail - LENGTH_BYTES, (uint64_t)n_bytes * 8, LENGTH_BYTES);

        for (size_t i = 0; i < n_tail; i += BLOCK_BYTES)
                digest_block(state, tail + i);

        for (size_t i = 0; i < 5; i++)
                write_big_endian(ret_digest + 4 * i, state[i], 4);
}
