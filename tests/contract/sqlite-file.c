/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/contract/sqlite-file.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int sqlite_test_file_make(SqliteTestFile *file) {
        const char *below = getenv("TMPDIR");

        (void)snprintf(file->directory, sizeof(file->directory), "%s/fleet-sqlite-XXXXXX",
                       below && strlen(below) < 32 ? below : "/tmp");
        if (!mkdtemp(file->directory)) {
                perror(file->directory);
                return -1;
        }
        (void)snprintf(file->path, sizeof(file->path), "%s/store.db", file->directory);
        return 0;
}

void sqlite_test_file_done(SqliteTestFile *file) {
        DIR *directory = *file->directory ? opendir(file->directory) : NULL;
        const struct dirent *entry;

        if (!directory)
                return;

        while ((entry = readdir(directory)))
                (void)unlinkat(dirfd(directory), entry->d_name, 0);
        (void)closedir(directory);
        (void)rmdir(file->directory);
        *file = (SqliteTestFile){ 0 };
}

int sqlite_test_file_open(const SqliteTestFile *file, SqliteStore **ret_sqlite, Loop *loop) {
        const SqliteStoreOptions options = { .path = file->path, .module = FAULT_MODULE };

        return sqlite_store_new(ret_sqlite, loop, &options);
}

void sqlite_test_file_set_fault(SqliteFault fault) {
        void *module = dlopen(FAULT_MODULE, RTLD_NOW | RTLD_LOCAL);
        SqliteFault *target = module ? dlsym(module, SQLITE_FAULT_SYMBOL) : NULL;

        if (!target) {
                (void)fprintf(stderr, "%s\n", dlerror());
                abort();
        }
        *target = fault;
        (void)dlclose(module);
}
