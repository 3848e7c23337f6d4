/* SPDX-License-Identifier: Apache-2.0 */

/* GET doctor: a checkup of the cluster (docs/api.md).
 *
 *   how is the store? --> ask the daemons (checkup/ask) --> read all records, at one revision,
 *   page by page --> wait until every machine has answered, or has had its time --> judge
 *
 * While this machine has no store, or is no member, the answer is what it can say alone. One
 * checkup runs at a time on a machine: it holds the whole cluster for a moment.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/api-private.h"
#include "api/doctor.h"

typedef struct DoctorCall {
        ApiCall call;
        DoctorView view;
        size_t i_kind;    /* which records are being read */
        int64_t revision; /* at which they are read; 0 before the first page */
        char *after;      /* owned: the last key of the page before, or NULL */
        LoopTimer timer;  /* looks for answers */
        uint64_t until_us;
        bool is_asking; /* the checkup is being written */
} DoctorCall;

/* In the order that the view wants. */
static const RecordKind kinds[] = {
        RECORD_LEADER,    RECORD_MACHINE,  RECORD_BRAKE, RECORD_METADATA, RECORD_UNIT, RECORD_FILE,
        RECORD_PLACEMENT, RECORD_SCHEDULE, RECORD_STATE, RECORD_HOLD,     RECORD_HELD,
};

static DoctorCall *doctor_of(ApiCall *call) {
        return container_of(call, DoctorCall, call);
}

static void doctor_free(ApiCall *call) {
        DoctorCall *doctor = doctor_of(call);

        call->api->has_doctor = false;
        timer_clear(&doctor->timer);
        doctor_view_done(&doctor->view);
        free(doctor->after);
        free(doctor);
}

static void doctor_cancel(ApiCall *call) {
        timer_clear(&doctor_of(call)->timer);
}

static void doctor_read(DoctorCall *doctor);

/* A checkup that cannot be written, into a store that is full for instance, is a finding. */
static void doctor_fail(ApiCall *call, int status) {
        DoctorCall *doctor = doctor_of(call);

        if (!doctor->is_asking || status == -ENOMEM) {
                api_call_give_up(call, status);
                return;
        }
        doctor->is_asking = false;
        doctor->view.unasked = registry_outcome_to_string(status);
        doctor_read(doctor);
}

static const ApiCallVtable doctor_vtable = {
        .cancel = doctor_cancel,
        .free = doctor_free,
        .fail = doctor_fail,
};

static uint64_t wall_ms(const DoctorCall *doctor) {
        return env_wall_us(loop_env(registry_loop(doctor->call.api->registry))) / US_PER_MS;
}

/* The answer */

static void reply_diagnosis(Api *api, HttpExchange *exchange, const Diagnosis *diagnosis) {
        Buf body = buf_make(API_REPLY_MAX_BYTES);
        int r = diagnosis_encode(diagnosis, &body);

        if (r == 0)
                api_reply_bytes(api, exchange, 200, "application/json", &body);
        else
                api_reply_failure(api, exchange, r);
        buf_done(&body);
}

static void doctor_reply(DoctorCall *doctor) {
        _cleanup_(diagnosis_done) Diagnosis diagnosis = { 0 };
        HttpExchange *exchange;
        int r = doctor_judge(&doctor->view, &diagnosis);

        if (r < 0) {
                api_call_give_up(&doctor->call, r);
                return;
        }

        exchange = TAKE(doctor->call.exchange);
        if (exchange)
                reply_diagnosis(doctor->call.api, exchange, &diagnosis);
        api_call_end(&doctor->call);
}

/* The daemons' answers */

static void on_answers(ApiCall *call, const RegistryPage *page) {
        DoctorCall *doctor = doctor_of(call);
        Loop *loop = registry_loop(call->api->registry);

        for (size_t i = 0; i < page->n_records; i++) {
                if (doctor_view_answer(&doctor->view, &page->records[i], wall_ms(doctor)) < 0) {
                        api_call_give_up(call, -ENOMEM);
                        return;
                }
        }
        if (doctor_view_is_answered(&doctor->view) || doctor->view.asked == 0 ||
            loop_now_us(loop) >= doctor->until_us)
                doctor_reply(doctor);
        else
                timer_set_in(loop, &doctor->timer, DOCTOR_POLL_US);
}

static void doctor_look_for_answers(DoctorCall *doctor) {
        const RegistryRange range = { .key = { .kind = RECORD_REPORT } };

        api_call_read(&doctor->call, &range, on_answers);
}

static void on_timer(LoopTimer *timer) {
        doctor_look_for_answers(container_of(timer, DoctorCall, timer));
}

/* The records */

static int doctor_take_page(DoctorCall *doctor, const RegistryPage *page) {
        const RecordKey *last = page->n_records > 0 ? &page->records[page->n_records - 1].key
                                                    : NULL;
        int r = 0;

        for (size_t i = 0; r == 0 && i < page->n_records; i++)
                r = doctor_view_apply(&doctor->view, &page->records[i]);
        if (r == 0 && page->n_foreign > 0)
                r = doctor_view_stray(&doctor->view, page->foreign, "it is no key of ours", false);
        if (r < 0)
                return r;

        free(TAKE(doctor->after));
        if (!page->more || !last) {
                doctor->i_kind++;
                return 0;
        }
        if (last->machine && last->unit)
                return asprintf(&doctor->after, "%s/%s", last->machine, last->unit) < 0 ? -ENOMEM
                                                                                        : 0;
        doctor->after = strdup(last->machine ? last->machine : last->unit);
        return doctor->after ? 0 : -ENOMEM;
}

static void on_page(ApiCall *call, const RegistryPage *page) {
        DoctorCall *doctor = doctor_of(call);

        doctor->revision = page->revision;
        if (doctor_take_page(doctor, page) < 0)
                api_call_give_up(call, -ENOMEM);
        else if (doctor->i_kind < ELEMENTSOF(kinds))
                doctor_read(doctor);
        else
                doctor_look_for_answers(doctor);
}

static void doctor_read(DoctorCall *doctor) {
        const RegistryRange range = {
                .key = { .kind = kinds[doctor->i_kind] },
                .after = doctor->after,
                .revision = doctor->revision,
                .limit = STORE_PAGE_KEYS,
                .keys_only = kinds[doctor->i_kind] == RECORD_FILE,
        };

        api_call_read(&doctor->call, &range, on_page);
}

/* The beginning */

static void on_asked(ApiCall *call, int status) {
        DoctorCall *doctor = doctor_of(call);
        Loop *loop = registry_loop(call->api->registry);

        if (status != 0) {
                doctor_fail(call, status);
                return;
        }
        doctor->is_asking = false;
        doctor->view.asked = call->revision;
        doctor->until_us = loop_now_us(loop) + DOCTOR_PATIENCE_US;
        doctor_read(doctor);
}

static void doctor_ask(DoctorCall *doctor) {
        const CheckupRecord record = { .machine = (char *)doctor->view.machine };
        ApiCall *call = &doctor->call;

        doctor->view.asked_ms = wall_ms(doctor);
        doctor->is_asking = true;
        registry_write_begin(&call->write, call->api->registry);
        registry_write_if_open(&call->write);
        registry_write_put_checkup(&call->write, &record);
        api_call_write(call, on_asked);
}

static void reply_alone(Api *api, HttpExchange *exchange, const ReportRecord *report) {
        _cleanup_(diagnosis_done) Diagnosis diagnosis = { 0 };
        int r = doctor_judge_alone(api->options.machine, report, !!api->why_closed, &diagnosis);

        if (r == 0)
                reply_diagnosis(api, exchange, &diagnosis);
        else
                api_reply_failure(api, exchange, r);
}

/* The store does not answer: what this machine can say is all there is. */
static void doctor_reply_alone(DoctorCall *doctor) {
        Api *api = doctor->call.api;
        HttpExchange *exchange = TAKE(doctor->call.exchange);
        ReportRecord report = { 0 };

        if (api->options.report)
                api->options.report(&report, api->options.report_userdata);
        if (!report.why)
                report.why = (char *)store_outcome_to_string(doctor->view.store_outcome);
        if (exchange)
                reply_alone(api, exchange, &report);
        api_call_end(&doctor->call);
}

static void on_status(ApiCall *call, int status, const StoreStatus *reply) {
        DoctorView *view = &doctor_of(call)->view;

        if (status == STORE_E_UNREACHABLE) {
                view->store_outcome = status;
                doctor_reply_alone(doctor_of(call));
                return;
        }
        view->store_outcome = status;
        if (status == 0)
                view->status = *reply;
        view->status.version = strdup(status == 0 ? reply->version : "");
        view->status.troubles = strdup(status == 0 ? reply->troubles : "");
        if (!view->status.version || !view->status.troubles)
                api_call_give_up(call, -ENOMEM);
        else
                doctor_ask(doctor_of(call));
}

void api_doctor(Api *api, HttpExchange *exchange, const char *name) {
        ReportRecord report = { 0 };
        DoctorCall *doctor;
        uint64_t seed;

        (void)name;
        if (api->options.report)
                api->options.report(&report, api->options.report_userdata);
        if (!api->is_available) {
                reply_alone(api, exchange, &report);
                return;
        }
        if (api->has_doctor) {
                (void)http_exchange_add_header(exchange, "Retry-After", "1");
                api_reply_error(api, exchange, 503, "another checkup is under way here: try again");
                return;
        }

        doctor = api_call_new(sizeof(*doctor), api, exchange, &doctor_vtable);
        if (!doctor)
                return;
        api->has_doctor = true;
        env_random_bytes(loop_env(registry_loop(api->registry)), &seed, sizeof(seed));
        doctor_view_init(&doctor->view, api->options.machine, seed);
        doctor->timer.fn = on_timer;
        doctor->view.endpoint = report.store ? strdup(report.store) : NULL;
        api_call_status(&doctor->call, on_status);
}
