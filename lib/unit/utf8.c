/* SPDX-License-Identifier: Apache-2.0 */

/* UTF-8 by the table of well-formed sequences in the Unicode standard (table 3-7): a first byte
 * gives the length, and for four of the first bytes the second one has a narrower range, which
 * rules out longer forms than needed, surrogates, and code points beyond U+10FFFF. No decoding:
 * nobody here needs the code points.
 */

#include "lib/unit/utf8.h"

size_t utf8_sequence_bytes(const char *text, size_t n_bytes) {
        const unsigned char *bytes = (const unsigned char *)text;
        unsigned char second_min = 0x80, second_max = 0xbf;
        size_t n;

        if (n_bytes == 0 || bytes[0] < 0x80)
                return n_bytes > 0 && bytes[0] > 0;
        if (bytes[0] < 0xc2 || bytes[0] > 0xf4)
                return 0;

        n = bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;
        if (bytes[0] == 0xe0)
                second_min = 0xa0; /* shorter forms exist below */
        else if (bytes[0] == 0xed)
                second_max = 0x9f; /* surrogates */
        else if (bytes[0] == 0xf0)
                second_min = 0x90; /* shorter forms exist below */
        else if (bytes[0] == 0xf4)
                second_max = 0x8f; /* beyond U+10FFFF */

        if (n_bytes < n || bytes[1] < second_min || bytes[1] > second_max)
                return 0;
        for (size_t i = 2; i < n; i++)
                if ((bytes[i] & 0xc0) != 0x80)
                        return 0;
        return n;
}
