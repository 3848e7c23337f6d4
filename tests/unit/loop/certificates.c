/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/unit/loop/certificates.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/macro.h"

static char folder[] = "/tmp/certificates-XXXXXX";

static void make(const TestCertificate *certificate) {
        const char *command[ELEMENTSOF(certificate->words) + 3] = { CERTIFICATES, folder };
        int status = -1;
        pid_t pid;

        for (size_t i = 0; i < ELEMENTSOF(certificate->words) && certificate->words[i]; i++)
                command[i + 2] = certificate->words[i];
        pid = fork();
        if (pid == 0) {
                (void)execv(command[0], (char *const *)command);
                _exit(127);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
                (void)fprintf(stderr, "Cannot make certificates; is openssl installed?\n");
                exit(EXIT_FAILURE);
        }
}

const char *test_certificates_make(const TestCertificate *certificates, size_t n_certificates) {
        if (!mkdtemp(folder)) {
                perror("Cannot make a folder");
                exit(EXIT_FAILURE);
        }
        for (size_t i = 0; i < n_certificates; i++)
                make(&certificates[i]);
        return folder;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw) {
        (void)st;
        (void)kind;
        (void)ftw;
        return remove(path);
}

void test_certificates_remove(void) {
        (void)nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
