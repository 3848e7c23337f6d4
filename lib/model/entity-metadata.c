/* SPDX-License-Identifier: Apache-2.0 */

/* The body of PATCH machines: a list of changes of machine metadata (contract section 4.8).
 *
 * The whole list is checked before any of it is handed out, item by item, each in the order op,
 * path, value, with the contract's messages. A value is a string, as the documentation of fleet 1.0
 * said, or an object with a "value", as its code wanted; "Value" needs no rule of its own, since
 * members match without regard to case.
 */

#include <errno.h>

#include "lib/model/entity.h"
#include "lib/model/json-in.h"
#include "lib/unit/unit-name.h"

static void metadata_change_done(MetadataChange *change) {
        free(change->machine);
        free(change->key);
        free(change->value);
}

void metadata_changes_free(MetadataChange *changes, size_t n_changes) {
        for (size_t i = 0; i < n_changes; i++)
                metadata_change_done(&changes[i]);
        free(changes);
}

static int check_op(const json_t *object, bool *ret_is_remove, Diag *diag) {
        const char *op = json_string_value(json_in_get(object, "op"));

        if (!op || (!streq(op, "add") && !streq(op, "remove") && !streq(op, "replace")))
                return diag_set(diag, -EBADMSG, "invalid op: expect add, remove, or replace");

        *ret_is_remove = streq(op, "remove");
        return 0;
}

/* Take "/<machine>/metadata/<key>" apart. */
static int read_path(const json_t *object, MetadataChange *change, Diag *diag) {
        static const char infix[] = "/metadata/";
        static const char key_characters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                             "0123456789_.-";
        const char *path = json_string_value(json_in_get(object, "path")), *key;
        size_t machine_bytes;

        if (!path || *path != '/')
                goto fail;

        machine_bytes = strcspn(path + 1, "/");
        key = path + 1 + machine_bytes;
        if (machine_bytes == 0 || machine_bytes > UNIT_NAME_MAX_BYTES ||
            strncmp(key, infix, sizeof(infix) - 1) != 0)
                goto fail;

        key += sizeof(infix) - 1;
        if (!*key || key[strspn(key, key_characters)])
                goto fail;

        change->machine = strndup(path + 1, machine_bytes);
        change->key = strdup(key);
        return change->machine && change->key ? 0 : -ENOMEM;

fail:
        return diag_set(diag, -EBADMSG, "machine metadata path invalid");
}

static int read_value(const json_t *object, MetadataChange *change, Diag *diag) {
        const json_t *member = json_in_get(object, "value");
        const char *value;

        if (json_is_object(member))
                member = json_in_get(member, "value");

        value = json_string_value(member);
        if (!value || !*value)
                return diag_set(diag, -EBADMSG, "invalid value: add and replace require a value");

        change->value = strdup(value);
        return change->value ? 0 : -ENOMEM;
}

static int change_read(const json_t *object, MetadataChange *change, Diag *diag) {
        bool is_remove = false;
        int r;

        r = check_op(object, &is_remove, diag);
        if (r == 0)
                r = read_path(object, change, diag);
        if (r == 0 && !is_remove)
                r = read_value(object, change, diag);
        return r;
}

int metadata_changes_decode(const char *json, size_t n_bytes, MetadataChange **ret_changes,
                            size_t *ret_n, Diag *diag) {
        json_auto_t *root = NULL;
        MetadataChange *changes;
        size_t n;
        int r;

        r = json_in_parse(json, n_bytes, JSON_ARRAY, &root, diag);
        if (r < 0)
                return r;

        n = json_array_size(root);
        changes = calloc(n + 1, sizeof(*changes));
        if (!changes)
                return -ENOMEM;

        for (size_t i = 0; r == 0 && i < n; i++)
                r = change_read(json_array_get(root, i), &changes[i], diag);
        if (r < 0) {
                metadata_changes_free(changes, n);
                return r;
        }

        *ret_changes = changes;
        *ret_n = n;
        return 0;
}
