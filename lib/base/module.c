/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/base/module.h"

#include <dlfcn.h>
#include <errno.h>

#include "lib/base/macro.h"

int module_load(const ModuleHead **ret_head, const char *path, const char *symbol,
                const char *purpose, Diag *diag) {
        const ModuleHead *head;
        void *module;

        module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (!module)
                return diag_set(diag, -ELIBACC, "cannot load the module for %s: %s", purpose,
                                dlerror());

        head = dlsym(module, symbol);
        if (!head || !streq(head->version, FLEET_VERSION)) {
                (void)diag_set(diag, -ELIBBAD,
                               "the module for %s %s is of version %s, and this program of "
                               "version " FLEET_VERSION ": install both from the same package",
                               purpose, path, head ? head->version : "unknown");
                (void)dlclose(module);
                return -ELIBBAD;
        }

        *ret_head = head;
        return 0;
}
