/* SPDX-License-Identifier: Apache-2.0 */

#include "docs/manual/manual.h"
#include "docs/manual/roff.h"
#include "fleetd/config.h"

void manual_config_keys(FILE *out) {
        ConfigKeyInfo key;

        for (size_t i = 0; config_key_at(i, &key); i++) {
                char tag[256], text[1024];

                if (!key.help)
                        continue;
                (void)snprintf(tag, sizeof(tag), "%s=%s", key.name, key.initial);
                (void)snprintf(text, sizeof(text), "%s%s", key.help,
                               key.needs_restart ? "\nA change needs a restart." : "");
                roff_item(out, tag, text);
        }
}

void manual_unused_keys(FILE *out) {
        ConfigKeyInfo key;

        for (size_t i = 0; config_key_at(i, &key); i++) {
                char text[256];

                if (!key.unused)
                        continue;
                (void)snprintf(text, sizeof(text), "%s.\n", key.unused);
                roff_item(out, key.name, text);
        }
}
