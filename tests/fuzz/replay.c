/* SPDX-License-Identifier: Apache-2.0 */

/* Runs a fuzz target without libFuzzer: each file of a corpus, and then mutations of them.
 *
 * Mutations come from a fixed seed and are the same in every run and everywhere, so a failure is
 * one that can be looked at again. They are no substitute for a fuzzer, which sees coverage; they
 * catch what breaks between two runs of it. With -v, each input is named before it runs, and with
 * -p NUMBER one mutation is printed in place of running any.
 */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "tests/fuzz/fuzz.h"

enum {
        N_MUTATIONS = 3000,
        MAX_INPUT_BYTES = 64 * 1024,
        MAX_STEPS = 6,
};

/* One file of the corpus. */
typedef struct Seed {
        char *path; /* owned */
        Buf content;
} Seed;

/* The corpus, in order of the file names. */
typedef struct Corpus {
        Seed *seeds; /* owned */
        size_t n_seeds;
} Corpus;

/* What mutations put in: the syntax of unit files, names and JSON, and what is on the edge of
 * something. */
static const char *const tokens[] = {
        "\\\n",
        "\n",
        "\r\n",
        "[",
        "]",
        "=",
        "#",
        "[X-Fleet]\n",
        "\"",
        "\" \"",
        "%i",
        "%n",
        "*",
        "?",
        "[^",
        "-",
        "\\",
        "@",
        ".",
        ".service",
        "{",
        "}",
        "[]",
        "{}",
        "null",
        "true",
        "-1",
        "1e9",
        ",",
        ":",
        "\x00",
        "\xff",
        "\xc3",
        " ",
        "\t",
        "/",
        "\\u0000",
        "\\ud800",
        "1.0",
        "9223372036854775807",
        "\xed\xa0\x80",
        "name",
        "value",
        "options",
        "metadata",
        "MachineOf=",
        "Conflicts=",
        "Global=",
};

/* xorshift64* (Vigna, 2014): enough for choosing mutations. */
static uint64_t random_next(uint64_t *state) {
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        return *state * UINT64_C(0x2545f4914f6cdd1d);
}

static size_t random_below(uint64_t *state, size_t bound) {
        return bound > 0 ? (size_t)(random_next(state) % bound) : 0;
}

static void read_file(const char *path, Buf *content) {
        FILE *file = fopen(path, "re");
        char chunk[4096];
        size_t n;

        fuzz_require(file, path);
        while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0)
                fuzz_require(buf_append(content, chunk, n) == 0, path);
        fuzz_require(!ferror(file), path);
        (void)fclose(file);
}

static int is_visible(const struct dirent *entry) {
        return entry->d_name[0] != '.';
}

static Corpus corpus_read(const char *directory) {
        struct dirent **entries = NULL;
        int n = scandir(directory, &entries, is_visible, alphasort);
        Corpus corpus = { 0 };

        fuzz_require(n > 0, "the corpus has files");
        corpus.seeds = calloc((size_t)n, sizeof(Seed));
        fuzz_require(corpus.seeds, "there is memory");

        for (int i = 0; i < n; i++) {
                Seed *seed = &corpus.seeds[corpus.n_seeds++];

                fuzz_require(asprintf(&seed->path, "%s/%s", directory, entries[i]->d_name) > 0,
                             "there is memory");
                seed->content = buf_make(MAX_INPUT_BYTES);
                read_file(seed->path, &seed->content);
                free(entries[i]);
        }
        free(entries);
        return corpus;
}

static void corpus_done(Corpus *corpus) {
        for (size_t i = 0; i < corpus->n_seeds; i++) {
                free(corpus->seeds[i].path);
                buf_done(&corpus->seeds[i].content);
        }
        free(corpus->seeds);
}

/* Put bytes in at a place; where the input would grow too long it stays as it is. */
static void input_insert(Buf *input, size_t at, const void *bytes, size_t n_bytes) {
        size_t n_before = input->n_bytes;

        if (n_bytes == 0 || buf_append(input, bytes, n_bytes) < 0)
                return;
        memmove(input->data + at + n_bytes, input->data + at, n_before - at);
        memcpy(input->data + at, bytes, n_bytes);
}

static void input_remove(Buf *input, size_t at, size_t n_bytes) {
        memmove(input->data + at, input->data + at + n_bytes, input->n_bytes - at - n_bytes);
        input->n_bytes -= n_bytes;
}

static void mutate_once(const Corpus *corpus, Buf *input, uint64_t *random) {
        size_t at = random_below(random, input->n_bytes + 1);
        size_t n_left = input->n_bytes - at;
        const Buf *other = &corpus->seeds[random_below(random, corpus->n_seeds)].content;
        size_t from = random_below(random, other->n_bytes);
        size_t n_from = random_below(random, other->n_bytes - from + 1);
        const char *token = tokens[random_below(random, ELEMENTSOF(tokens))];
        char byte = (char)random_next(random);

        switch (random_next(random) % 5) {
        case 0:
                if (n_left > 0)
                        input->data[at] = (char)(input->data[at] ^ 1 << (byte & 7));
                break;
        case 1:
                input_insert(input, at, &byte, 1);
                break;
        case 2:
                if (n_left > 0)
                        input_remove(input, at, 1 + random_below(random, n_left));
                break;
        case 3:
                if (n_from > 0)
                        input_insert(input, at, other->data + from, n_from);
                break;
        default:
                input_insert(input, at, token, *token ? strlen(token) : 1);
                break;
        }
}

static Buf mutate(const Corpus *corpus, size_t number) {
        uint64_t random = UINT64_C(0x9e3779b97f4a7c15) * (number + 1);
        const Buf *seed = &corpus->seeds[random_below(&random, corpus->n_seeds)].content;
        size_t n_steps = 1 + random_below(&random, MAX_STEPS);
        Buf input = buf_make(MAX_INPUT_BYTES);

        fuzz_require(buf_append(&input, seed->data, seed->n_bytes) == 0, "there is memory");
        for (size_t i = 0; i < n_steps; i++)
                mutate_once(corpus, &input, &random);
        return input;
}

/* Run on memory of exactly the input's size, so that the sanitizers see a read behind its end. */
static void run(const Buf *input) {
        uint8_t *data = malloc(input->n_bytes);

        fuzz_require(data || input->n_bytes == 0, "there is memory");
        if (input->n_bytes > 0)
                memcpy(data, input->data, input->n_bytes);
        (void)LLVMFuzzerTestOneInput(data, input->n_bytes);
        free(data);
}

static void print_mutation(const Corpus *corpus, size_t number) {
        Buf input = mutate(corpus, number);

        (void)fwrite(input.data, 1, input.n_bytes, stdout);
        buf_done(&input);
}

static void run_all(const Corpus *corpus, bool is_verbose) {
        for (size_t i = 0; i < corpus->n_seeds; i++) {
                if (is_verbose)
                        (void)fprintf(stderr, "%s\n", corpus->seeds[i].path);
                run(&corpus->seeds[i].content);
        }

        for (size_t i = 0; i < N_MUTATIONS; i++) {
                Buf input = mutate(corpus, i);

                if (is_verbose)
                        (void)fprintf(stderr, "mutation %zu\n", i);
                run(&input);
                buf_done(&input);
        }
}

int main(int argc, char **argv) {
        Corpus corpus;

        if (argc < 2) {
                (void)fprintf(stderr, "Usage: %s CORPUS [-v | -p NUMBER]\n", argv[0]);
                return EXIT_FAILURE;
        }

        corpus = corpus_read(argv[1]);
        if (argc == 4 && streq(argv[2], "-p"))
                print_mutation(&corpus, strtoul(argv[3], NULL, 10));
        else
                run_all(&corpus, argc == 3 && streq(argv[2], "-v"));

        (void)fprintf(stderr, "%zu files, %d mutations\n", corpus.n_seeds, N_MUTATIONS);
        corpus_done(&corpus);
        return EXIT_SUCCESS;
}
