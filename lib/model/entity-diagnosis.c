/* SPDX-License-Identifier: Apache-2.0 */

/* The answer of GET /fleet/v1/doctor (docs/api.md): {"checks":[...],"findings":[...],"machine":..}.
 */

#include <errno.h>

#include "lib/model/entity-json.h"
#include "lib/model/json-in.h"

static void finding_done(Finding *finding) {
        free(finding->check);
        free(finding->subject);
        free(finding->what);
        free(finding->remedy);
}

static void check_done(CheckResult *check) {
        free(check->name);
        free(check->summary);
}

void diagnosis_done(Diagnosis *diagnosis) {
        for (size_t i = 0; i < diagnosis->n_findings; i++)
                finding_done(&diagnosis->findings[i]);
        for (size_t i = 0; i < diagnosis->n_checks; i++)
                check_done(&diagnosis->checks[i]);
        free(diagnosis->findings);
        free(diagnosis->checks);
        free(diagnosis->machine);
        *diagnosis = (Diagnosis){ 0 };
}

int diagnosis_encode(const Diagnosis *diagnosis, Buf *out) {
        JsonOut json = json_out_begin(out);

        json_out_open(&json, '{');
        json_out_key(&json, "checks");
        json_out_open(&json, '[');
        for (size_t i = 0; i < diagnosis->n_checks; i++) {
                json_out_open(&json, '{');
                json_out_string(&json, "name", diagnosis->checks[i].name);
                json_out_number(&json, "problems", diagnosis->checks[i].n_problems);
                json_out_string(&json, "summary", diagnosis->checks[i].summary);
                json_out_close(&json, '}');
        }
        json_out_close(&json, ']');
        json_out_key(&json, "findings");
        json_out_open(&json, '[');
        for (size_t i = 0; i < diagnosis->n_findings; i++) {
                json_out_open(&json, '{');
                json_out_string(&json, "check", diagnosis->findings[i].check);
                json_out_true(&json, "note", diagnosis->findings[i].is_note);
                json_out_string(&json, "remedy", diagnosis->findings[i].remedy);
                json_out_string(&json, "subject", diagnosis->findings[i].subject);
                json_out_string(&json, "what", diagnosis->findings[i].what);
                json_out_close(&json, '}');
        }
        json_out_close(&json, ']');
        json_out_string(&json, "machine", diagnosis->machine);
        json_out_close(&json, '}');
        return json_out_end(&json);
}

static int check_read(const json_t *object, CheckResult *check, Diag *diag) {
        int r;

        if (!json_is_object(object))
                return diag_set(diag, -EBADMSG, "a check must be an object");

        r = json_in_require_string(object, "name", &check->name, diag);
        if (r == 0)
                r = json_in_get_number(object, "problems", &check->n_problems, diag);
        if (r == 0)
                r = json_in_get_string(object, "summary", &check->summary, diag);
        return r;
}

static int finding_read(const json_t *object, Finding *finding, Diag *diag) {
        int r;

        if (!json_is_object(object))
                return diag_set(diag, -EBADMSG, "a finding must be an object");

        r = json_in_require_string(object, "check", &finding->check, diag);
        if (r == 0)
                r = json_in_get_bool(object, "note", &finding->is_note, diag);
        if (r == 0)
                r = json_in_get_string(object, "remedy", &finding->remedy, diag);
        if (r == 0)
                r = json_in_get_string(object, "subject", &finding->subject, diag);
        if (r == 0)
                r = json_in_require_string(object, "what", &finding->what, diag);
        return r;
}

static int checks_read(const json_t *root, Diagnosis *diagnosis, Diag *diag) {
        json_t *array;
        size_t n;
        int r;

        r = json_in_get_array(root, "checks", &array, diag);
        if (r < 0)
                return r;
        n = json_array_size(array);
        diagnosis->checks = calloc(n + 1, sizeof(CheckResult));
        if (!diagnosis->checks)
                return -ENOMEM;

        while (r == 0 && diagnosis->n_checks < n) {
                size_t i = diagnosis->n_checks++;

                r = check_read(json_array_get(array, i), &diagnosis->checks[i], diag);
        }
        return r;
}

static int findings_read(const json_t *root, Diagnosis *diagnosis, Diag *diag) {
        json_t *array;
        size_t n;
        int r;

        r = json_in_get_array(root, "findings", &array, diag);
        if (r < 0)
                return r;
        n = json_array_size(array);
        diagnosis->findings = calloc(n + 1, sizeof(Finding));
        if (!diagnosis->findings)
                return -ENOMEM;

        while (r == 0 && diagnosis->n_findings < n) {
                size_t i = diagnosis->n_findings++;

                r = finding_read(json_array_get(array, i), &diagnosis->findings[i], diag);
        }
        return r;
}

int diagnosis_decode(const char *json, size_t n_bytes, Diagnosis *ret_diagnosis, Diag *diag) {
        _cleanup_(diagnosis_done) Diagnosis diagnosis = { 0 };
        json_auto_t *root = NULL;
        int r;

        r = json_in_parse(json, n_bytes, JSON_OBJECT, &root, diag);
        if (r == 0)
                r = checks_read(root, &diagnosis, diag);
        if (r == 0)
                r = findings_read(root, &diagnosis, diag);
        if (r == 0)
                r = json_in_get_string(root, "machine", &diagnosis.machine, diag);
        if (r < 0)
                return r;

        *ret_diagnosis = diagnosis;
        diagnosis = (Diagnosis){ 0 };
        return 0;
}
