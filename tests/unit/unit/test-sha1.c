/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/unit/sha1.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/macro.h"
#include "lib/unit/unit-file.h"
#include "tests/unit/fault.h"

/* A message, repeated, and its digest. */
typedef struct Row {
        const char *message;
        size_t n_times;
        const char *hex;
} Row;

/* The examples of FIPS 180-1, appendices A to C, and lengths around the ends of blocks (digests by
 * sha1sum(1)). */
static const Row rows[] = {
        { "", 1, "da39a3ee5e6b4b0d3255bfef95601890afd80709" },
        { "abc", 1, "a9993e364706816aba3e25717850c26c9cd0d89d" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
          "84983e441c3bd26ebaae4aa1f95129e5e54670f1" },
        { "a", 1000000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f" },
        { "a", 55, "c1c8bbdc22796e28c0e15163d20899b65621d65a" },
        { "a", 56, "c2db330f6083854c99d4b5bfb6e8f29f201be699" },
        { "a", 63, "03f09f5b158a7a8cdad920bddc29b81c18a551f5" },
        { "a", 64, "0098ba824b5c16427bd7a1122a5a442a25ec644d" },
        { "a", 65, "11655326c708d70319be2610e8a57d9a5b959d3b" },
};

/* The digests are those of the standard, at every padding. */
START_TEST(test_known_values) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                size_t n_bytes = strlen(rows[i].message);
                _cleanup_(freep) char *text = malloc(n_bytes * rows[i].n_times + 1);
                char hash[UNIT_HASH_BYTES];

                for (size_t j = 0; j < rows[i].n_times; j++)
                        memcpy(text + j * n_bytes, rows[i].message, n_bytes);
                unit_text_hash(text, n_bytes * rows[i].n_times, hash);
                ck_assert_str_eq(hash, rows[i].hex);
        }
}
END_TEST

/* No bytes need no pointer. */
START_TEST(test_nothing) {
        uint8_t digest[SHA1_DIGEST_BYTES];

        sha1_digest(NULL, 0, digest);
        ck_assert_int_eq(digest[0], 0xda);
        ck_assert_int_eq(digest[19], 0x09);
}
END_TEST

int main(void) {
        const TTest *const tests[] = { test_known_values, test_nothing };

        return tests_run("sha1", tests, ELEMENTSOF(tests));
}
