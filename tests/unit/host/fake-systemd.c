/* SPDX-License-Identifier: Apache-2.0 */

/* The fake manager. One filter on the server's side of the connection gets every call; a table says
 * what to do for each member. Replies and signals go out in the order in which they are made, as
 * from the real one.
 *
 * Loaded content is kept apart from the file, so that a test can tell whether a unit runs the
 * content that it should.
 */

#include "tests/unit/host/fake-systemd.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/hash-map.h"
#include "lib/loop/bus-glue.h"

enum { CALLS_MAX_BYTES = 16 * 1024 * 1024, HELD_MAX = 4096, FILE_MAX_BYTES = 4096 };

static const char manager_path[] = "/org/freedesktop/systemd1";
static const char manager_interface[] = "org.freedesktop.systemd1.Manager";
static const char no_such_unit[] = "org.freedesktop.systemd1.NoSuchUnit";

typedef struct FakeUnit {
        HashNode node;
        FakeSystemd *systemd;
        char *name;
        char *link; /* where its file is; NULL while it is not linked */
        char *text; /* what is loaded; NULL while nothing is */
        const char *load, *active, *sub;
        bool is_known; /* systemd has it in memory */
        bool is_pinned;
        bool is_enabled;
        uint32_t job; /* 0 = none */
        enum { JOB_START, JOB_STOP, JOB_RESTART } job_kind;
        unsigned n_starts; /* that came to their end */
} FakeUnit;

struct FakeSystemd {
        const char *refusal; /* borrowed: in what words files are not linked, or NULL */
        Loop *loop;
        sd_bus *bus;
        BusGlue glue;
        LoopIo listener;
        int listen_fd;
        HashMap units;
        uint32_t n_jobs;
        LoopDeferred run_jobs;
        Buf calls;
        const char *held_member;
        sd_bus_message *held[HELD_MAX];
        unsigned n_held;
        bool is_job_first, are_jobs_held;
        const char *own_job; /* type of the job on the caller's own unit, or NULL */
};

/* Units */

static FakeUnit *unit_find(const FakeSystemd *systemd, const char *name) {
        HashNode *node = hash_map_get(&systemd->units, name);

        return node ? container_of(node, FakeUnit, node) : NULL;
}

static FakeUnit *unit_get(FakeSystemd *systemd, const char *name) {
        FakeUnit *unit = unit_find(systemd, name);

        if (unit)
                return unit;
        unit = calloc(1, sizeof(FakeUnit));
        ck_assert_ptr_nonnull(unit);
        unit->systemd = systemd;
        unit->name = strdup(name);
        unit->load = unit->active = unit->sub = "";
        ck_assert_int_eq(hash_map_put(&systemd->units, &unit->node, unit->name), 0);
        return unit;
}

static void unit_free(FakeUnit *unit) {
        free(unit->name);
        free(unit->link);
        free(unit->text);
        free(unit);
}

static char *file_read(const char *path) {
        FILE *file = fopen(path, "re");
        char *text = NULL;

        if (!file)
                return NULL;
        text = calloc(1, FILE_MAX_BYTES);
        ck_assert_ptr_nonnull(text);
        ck_assert_uint_lt(fread(text, 1, FILE_MAX_BYTES - 1, file), FILE_MAX_BYTES - 1);
        (void)fclose(file);
        return text;
}

static bool text_says(const char *text, const char *what) {
        return text && strstr(text, what);
}

static void unit_read(FakeUnit *unit) {
        free(unit->text);
        unit->text = unit->link ? file_read(unit->link) : NULL;
        if (!unit->text)
                unit->load = "not-found";
        else
                unit->load = text_says(unit->text, "Bad=yes") ? "bad-setting" : "loaded";
}

/* Brings a unit into memory. What is there already stays as it is, except what was not found
 * before. */
static void unit_load(FakeUnit *unit) {
        if (!unit->is_known) {
                unit->active = "inactive";
                unit->sub = "dead";
        }
        if (!unit->is_known || streq(unit->load, "not-found"))
                unit_read(unit);
        unit->is_known = true;
}

static void unit_collect(FakeUnit *unit) {
        if (unit->is_pinned || unit->job > 0 || !streq(unit->active, "inactive"))
                return;
        unit->is_known = false;
        free(unit->text);
        unit->text = NULL;
}

static void units_collect(FakeSystemd *systemd) {
        for (HashNode *node = hash_map_first(&systemd->units); node;
             node = hash_map_next(&systemd->units, node))
                unit_collect(container_of(node, FakeUnit, node));
}

/* Signals */

static char *unit_path(const char *name) {
        char *path = NULL;

        ck_assert_int_ge(sd_bus_path_encode("/org/freedesktop/systemd1/unit", name, &path), 0);
        return path;
}

static void tell_states(FakeSystemd *systemd, const char *name, const char *active,
                        const char *sub) {
        _cleanup_(freep) char *path = unit_path(name);

        if (!systemd->bus)
                return;
        /* What a service tells of itself comes first, and must be passed over. */
        ck_assert_int_ge(sd_bus_emit_signal(systemd->bus, path, "org.freedesktop.DBus.Properties",
                                            "PropertiesChanged", "sa{sv}as",
                                            "org.freedesktop.systemd1.Service", 1, "ActiveState",
                                            "s", "nonsense", 0),
                         0);
        ck_assert_int_ge(sd_bus_emit_signal(systemd->bus, path, "org.freedesktop.DBus.Properties",
                                            "PropertiesChanged", "sa{sv}as",
                                            "org.freedesktop.systemd1.Unit", 3,
                                            "StateChangeTimestamp", "t", (uint64_t)1, "ActiveState",
                                            "s", active, "SubState", "s", sub, 0),
                         0);
}

static void unit_set_state(FakeUnit *unit, const char *active, const char *sub) {
        unit->active = active;
        unit->sub = sub;
        tell_states(unit->systemd, unit->name, active, sub);
}

static void job_path(uint32_t id, char path[64]) {
        (void)snprintf(path, 64, "/org/freedesktop/systemd1/job/%u", id);
}

static void job_end(FakeUnit *unit, const char *result) {
        uint32_t id = unit->job;
        char path[64];

        unit->job = 0;
        job_path(id, path);
        if (unit->systemd->bus)
                ck_assert_int_ge(sd_bus_emit_signal(unit->systemd->bus, manager_path,
                                                    manager_interface, "JobRemoved", "uoss", id,
                                                    path, unit->name, result),
                                 0);
}

static void job_run(FakeUnit *unit) {
        if (unit->job_kind == JOB_RESTART && !streq(unit->active, "inactive")) {
                /* The job lives on, as a start. */
                unit_set_state(unit, "inactive", "dead");
                unit->job_kind = JOB_START;
                loop_defer(unit->systemd->loop, &unit->systemd->run_jobs);
        } else if (unit->job_kind == JOB_STOP) {
                unit_set_state(unit, "inactive", "dead");
                job_end(unit, "done");
        } else if (text_says(unit->text, "Fail=yes")) {
                unit_set_state(unit, "failed", "failed");
                job_end(unit, "failed");
        } else if (text_says(unit->text, "Hang=yes") && !streq(unit->active, "active")) {
                unit_set_state(unit, "activating", "start");
        } else {
                bool is_oneshot = text_says(unit->text, "Oneshot=yes");

                unit->n_starts += !streq(unit->active, "active");
                unit_set_state(unit, is_oneshot ? "inactive" : "active",
                               is_oneshot ? "dead" : "running");
                job_end(unit, "done");
        }
}

static void on_run_jobs(LoopDeferred *deferred) {
        FakeSystemd *systemd = container_of(deferred, FakeSystemd, run_jobs);

        for (HashNode *node = hash_map_first(&systemd->units); node;
             node = hash_map_next(&systemd->units, node)) {
                FakeUnit *unit = container_of(node, FakeUnit, node);

                if (unit->job > 0 && !systemd->are_jobs_held)
                        job_run(unit);
        }
        units_collect(systemd);
}

/* Calls */

static int read_names(sd_bus_message *call, int (*fn)(FakeSystemd *systemd, const char *name),
                      FakeSystemd *systemd) {
        const char *name;
        int r, result = 0;

        ck_assert_int_gt(sd_bus_message_enter_container(call, 'a', "s"), 0);
        while ((r = sd_bus_message_read_basic(call, 's', &name)) > 0)
                if (result == 0)
                        result = fn(systemd, name);
        ck_assert_int_ge(r, 0);
        return result;
}

static int link_check(FakeSystemd *systemd, const char *path) {
        _cleanup_(freep) char *text = file_read(path);

        (void)systemd;
        return !text || text_says(text, "RefuseLink=yes") ? -EINVAL : 0;
}

static int link_one(FakeSystemd *systemd, const char *path) {
        FakeUnit *unit = unit_get(systemd, strrchr(path, '/') + 1);

        free(unit->link);
        unit->link = strdup(path);
        return 0;
}

static int do_link(FakeSystemd *systemd, sd_bus_message *call) {
        int is_runtime, is_forced;

        if (read_names(call, link_check, systemd) < 0)
                return sd_bus_reply_method_errorf(
                        call, "org.freedesktop.DBus.Error.InvalidArgs", "%s",
                        systemd->refusal ? systemd->refusal : "a file cannot be linked");
        ck_assert_int_ge(sd_bus_message_rewind(call, true), 0);
        ck_assert_int_eq(read_names(call, link_one, systemd), 0);
        ck_assert_int_ge(sd_bus_message_exit_container(call), 0);
        ck_assert_int_gt(sd_bus_message_read(call, "bb", &is_runtime, &is_forced), 0);
        ck_assert(is_runtime && is_forced);
        return sd_bus_reply_method_return(call, "a(sss)", 0);
}

static int enable_one(FakeSystemd *systemd, const char *name) {
        FakeUnit *unit = unit_get(systemd, name);
        _cleanup_(freep) char *text = unit->link ? file_read(unit->link) : NULL;

        if (!text || text_says(text, "RefuseEnable=yes"))
                return -EINVAL;
        unit->is_enabled = true;
        return 0;
}

static int do_enable(FakeSystemd *systemd, sd_bus_message *call) {
        if (read_names(call, enable_one, systemd) < 0)
                return sd_bus_reply_method_errorf(call, "org.freedesktop.DBus.Error.InvalidArgs",
                                                  "a unit cannot be enabled");
        return sd_bus_reply_method_return(call, "ba(sss)", true, 0);
}

static int disable_one(FakeSystemd *systemd, const char *name) {
        FakeUnit *unit = unit_get(systemd, name);

        if (!unit->link)
                return -ENOENT;
        free(unit->link);
        unit->link = NULL;
        unit->is_enabled = false;
        return 0;
}

static int do_disable(FakeSystemd *systemd, sd_bus_message *call) {
        if (read_names(call, disable_one, systemd) < 0)
                return sd_bus_reply_method_errorf(call, "org.freedesktop.DBus.Error.FileNotFound",
                                                  "a unit file does not exist");
        return sd_bus_reply_method_return(call, "a(sss)", 0);
}

static int do_list(FakeSystemd *systemd, sd_bus_message *call) {
        sd_bus_message *reply;
        const char *name;

        ck_assert_int_ge(sd_bus_message_new_method_return(call, &reply), 0);
        ck_assert_int_ge(sd_bus_message_open_container(reply, 'a', "(ssssssouso)"), 0);
        ck_assert_int_gt(sd_bus_message_enter_container(call, 'a', "s"), 0);
        while (sd_bus_message_read_basic(call, 's', &name) > 0) {
                _cleanup_(freep) char *path = unit_path(name);
                FakeUnit *unit = unit_get(systemd, name);

                unit_load(unit);
                ck_assert_int_ge(sd_bus_message_append(reply, "(ssssssouso)", name, name,
                                                       unit->load, unit->active, unit->sub, "",
                                                       path, 0, "", "/"),
                                 0);
        }
        ck_assert_int_ge(sd_bus_message_close_container(reply), 0);
        ck_assert_int_ge(sd_bus_send(systemd->bus, reply, NULL), 0);
        (void)sd_bus_message_unref(reply);
        return 1;
}

static FakeUnit *read_unit(FakeSystemd *systemd, sd_bus_message *call) {
        const char *name;

        ck_assert_int_gt(sd_bus_message_read_basic(call, 's', &name), 0);
        return unit_get(systemd, name);
}

static int do_get_unit(FakeSystemd *systemd, sd_bus_message *call) {
        FakeUnit *unit = read_unit(systemd, call);
        _cleanup_(freep) char *path = unit_path(unit->name);

        if (!unit->is_known)
                return sd_bus_reply_method_errorf(call, no_such_unit, "Unit %s not loaded.",
                                                  unit->name);
        return sd_bus_reply_method_return(call, "o", path);
}

static int begin_job(FakeUnit *unit, sd_bus_message *call, int job_kind) {
        FakeSystemd *systemd = unit->systemd;
        char path[64];
        int r;

        if (unit->job > 0)
                job_end(unit, "canceled");
        unit->job = ++systemd->n_jobs;
        unit->job_kind = job_kind;
        job_path(unit->job, path);
        if (systemd->is_job_first)
                job_run(unit);
        r = sd_bus_reply_method_return(call, "o", path);
        if (!systemd->is_job_first)
                loop_defer(systemd->loop, &systemd->run_jobs);
        return r;
}

static int start_or_restart(FakeSystemd *systemd, sd_bus_message *call, int job_kind) {
        FakeUnit *unit = read_unit(systemd, call);

        unit_load(unit);
        if (streq(unit->load, "not-found"))
                return sd_bus_reply_method_errorf(call, no_such_unit, "Unit %s not found.",
                                                  unit->name);
        if (streq(unit->load, "bad-setting"))
                return sd_bus_reply_method_errorf(call, "org.freedesktop.systemd1.BadUnitSetting",
                                                  "Unit %s has a bad unit file setting.",
                                                  unit->name);
        return begin_job(unit, call, job_kind);
}

static int do_start(FakeSystemd *systemd, sd_bus_message *call) {
        return start_or_restart(systemd, call, JOB_START);
}

static int do_restart(FakeSystemd *systemd, sd_bus_message *call) {
        return start_or_restart(systemd, call, JOB_RESTART);
}

static int do_stop(FakeSystemd *systemd, sd_bus_message *call) {
        FakeUnit *unit = read_unit(systemd, call);

        if (!unit->is_known)
                return sd_bus_reply_method_errorf(call, no_such_unit, "Unit %s not loaded.",
                                                  unit->name);
        return begin_job(unit, call, JOB_STOP);
}

static int do_reset_failed(FakeSystemd *systemd, sd_bus_message *call) {
        FakeUnit *unit = read_unit(systemd, call);

        if (!unit->is_known)
                return sd_bus_reply_method_errorf(call, no_such_unit, "Unit %s not loaded.",
                                                  unit->name);
        if (streq(unit->active, "failed"))
                unit_set_state(unit, "inactive", "dead");
        return sd_bus_reply_method_return(call, "");
}

static int do_reload(FakeSystemd *systemd, sd_bus_message *call) {
        for (HashNode *node = hash_map_first(&systemd->units); node;
             node = hash_map_next(&systemd->units, node)) {
                FakeUnit *unit = container_of(node, FakeUnit, node);

                if (unit->is_known)
                        unit_read(unit);
        }
        ck_assert_int_ge(sd_bus_emit_signal(systemd->bus, manager_path, manager_interface,
                                            "Reloading", "b", false),
                         0);
        return sd_bus_reply_method_return(call, "");
}

static int do_subscribe(FakeSystemd *systemd, sd_bus_message *call) {
        (void)systemd;
        return sd_bus_reply_method_return(call, "");
}

static const char own_unit[] = "/org/freedesktop/systemd1/unit/fleet_2eservice";
static const char own_job[] = "/org/freedesktop/systemd1/job/7";

static int do_get_by_pid(FakeSystemd *systemd, sd_bus_message *call) {
        uint32_t pid;

        ck_assert_int_gt(sd_bus_message_read(call, "u", &pid), 0);
        ck_assert_int_eq((int)pid, (int)getpid());
        if (!systemd->own_job)
                return sd_bus_reply_method_errorf(call, no_such_unit, "no unit of yours");
        return sd_bus_reply_method_return(call, "o", own_unit);
}

static int do_get_job(FakeSystemd *systemd, sd_bus_message *call, const char *property) {
        bool has_job = *systemd->own_job != '\0';

        if (streq(property, "Job"))
                return sd_bus_reply_method_return(call, "v", "(uo)", has_job ? 7 : 0,
                                                  has_job ? own_job : "/");
        ck_assert_str_eq(sd_bus_message_get_path(call), own_job);
        return sd_bus_reply_method_return(call, "v", "s", systemd->own_job);
}

static int do_get(FakeSystemd *systemd, sd_bus_message *call) {
        _cleanup_(freep) char *name = NULL;
        const char *interface, *property;
        FakeUnit *unit;

        ck_assert_int_gt(sd_bus_message_read(call, "ss", &interface, &property), 0);
        if (streq(property, "Job") || streq(property, "JobType"))
                return do_get_job(systemd, call, property);
        ck_assert_int_gt(sd_bus_path_decode(sd_bus_message_get_path(call),
                                            "/org/freedesktop/systemd1/unit", &name),
                         0);
        unit = unit_get(systemd, name);
        unit_load(unit);
        if (streq(property, "LoadState"))
                return sd_bus_reply_method_return(call, "v", "s", unit->load);
        if (streq(property, "LoadError"))
                return sd_bus_reply_method_return(call, "v", "(ss)",
                                                  "org.freedesktop.systemd1.BadUnitSetting",
                                                  "the file makes no sense");
        if (streq(property, "Result"))
                return sd_bus_reply_method_return(call, "v", "s", "exit-code");
        if (streq(property, "ExecMainCode"))
                return sd_bus_reply_method_return(call, "v", "i", 1);
        if (streq(property, "ExecMainStatus"))
                return sd_bus_reply_method_return(call, "v", "i", 203);
        return sd_bus_reply_method_errorf(call, SD_BUS_ERROR_UNKNOWN_PROPERTY, "no %s", property);
}

static const struct {
        const char *member;
        int (*fn)(FakeSystemd *systemd, sd_bus_message *call);
} members[] = {
        { "Subscribe", do_subscribe },
        { "GetUnit", do_get_unit },
        { "GetUnitByPID", do_get_by_pid },
        { "LinkUnitFiles", do_link },
        { "EnableUnitFiles", do_enable },
        { "DisableUnitFiles", do_disable },
        { "ListUnitsByNames", do_list },
        { "StartUnit", do_start },
        { "RestartUnit", do_restart },
        { "StopUnit", do_stop },
        { "ResetFailedUnit", do_reset_failed },
        { "Reload", do_reload },
        { "Get", do_get },
};

static void write_down(FakeSystemd *systemd, sd_bus_message *call) {
        const char *signature = sd_bus_message_get_signature(call, true), *text;

        ck_assert_int_eq(buf_append_string(&systemd->calls, sd_bus_message_get_member(call)), 0);
        if (signature[0] == 'a')
                ck_assert_int_gt(sd_bus_message_enter_container(call, 'a', "s"), 0);
        if (signature[0] != '\0')
                while (sd_bus_message_peek_type(call, NULL, NULL) > 0 &&
                       sd_bus_message_read_basic(call, 's', &text) > 0)
                        ck_assert_int_eq(
                                buf_printf(&systemd->calls, " %s",
                                           strrchr(text, '/') ? strrchr(text, '/') + 1 : text),
                                0);
        ck_assert_int_eq(buf_append_string(&systemd->calls, "\n"), 0);
        ck_assert_int_ge(sd_bus_message_rewind(call, true), 0);
}

static void carry_out(FakeSystemd *systemd, sd_bus_message *call) {
        const char *member = sd_bus_message_get_member(call);

        for (size_t i = 0; i < ELEMENTSOF(members); i++)
                if (streq(members[i].member, member)) {
                        ck_assert_int_ge(members[i].fn(systemd, call), 0);
                        units_collect(systemd);
                        return;
                }
        ck_abort_msg("unexpected call of %s", member);
}

static int on_message(sd_bus_message *message, void *userdata, sd_bus_error *ret_error) {
        FakeSystemd *systemd = userdata;

        (void)ret_error;
        if (!sd_bus_message_is_method_call(message, NULL, NULL))
                return 0;

        write_down(systemd, message);
        if (systemd->held_member &&
            streq(systemd->held_member, sd_bus_message_get_member(message))) {
                ck_assert_uint_lt(systemd->n_held, HELD_MAX);
                systemd->held[systemd->n_held++] = sd_bus_message_ref(message);
        } else {
                carry_out(systemd, message);
        }
        return 1;
}

/* Connections */

static void drop_held(FakeSystemd *systemd) {
        for (unsigned i = 0; i < systemd->n_held; i++)
                (void)sd_bus_message_unref(systemd->held[i]);
        systemd->n_held = 0;
}

static void drop_connection(FakeSystemd *systemd) {
        drop_held(systemd);
        bus_glue_detach(&systemd->glue);
        systemd->bus = sd_bus_close_unref(systemd->bus);
}

static void on_lost(BusGlue *glue, int error) {
        (void)error;
        drop_connection(container_of(glue, FakeSystemd, glue));
}

static void serve(FakeSystemd *systemd, int fd) {
        static const sd_id128_t id = { .bytes = { 1 } };

        drop_connection(systemd);
        ck_assert_int_ge(sd_bus_new(&systemd->bus), 0);
        ck_assert_int_ge(sd_bus_set_fd(systemd->bus, fd, fd), 0);
        ck_assert_int_ge(sd_bus_set_server(systemd->bus, true, id), 0);
        ck_assert_int_ge(sd_bus_add_filter(systemd->bus, NULL, on_message, systemd), 0);
        ck_assert_int_ge(sd_bus_start(systemd->bus), 0);
        ck_assert_int_ge(bus_glue_attach(&systemd->glue, systemd->loop, systemd->bus, on_lost), 0);
}

int fake_systemd_serve_pair(FakeSystemd *systemd) {
        int fds[2];

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
                         0);
        serve(systemd, fds[0]);
        return fds[1];
}

static void on_listener(LoopIo *io, unsigned events) {
        int fd = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        (void)events;
        if (fd >= 0)
                serve(container_of(io, FakeSystemd, listener), fd);
}

void fake_systemd_listen(FakeSystemd *systemd, const char *runtime_directory) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        char path[90];

        (void)snprintf(path, sizeof(path), "%s/systemd", runtime_directory);
        (void)mkdir(path, 0700);
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/private", path);
        (void)unlink(address.sun_path);

        systemd->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        ck_assert_int_ge(systemd->listen_fd, 0);
        ck_assert_int_eq(bind(systemd->listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
        ck_assert_int_eq(listen(systemd->listen_fd, 4), 0);
        ck_assert_int_eq(
                loop_io_watch(systemd->loop, &systemd->listener, systemd->listen_fd, LOOP_READ), 0);
}

void fake_systemd_cut(FakeSystemd *systemd) {
        loop_io_stop(&systemd->listener);
        if (systemd->listen_fd >= 0)
                (void)close(systemd->listen_fd);
        systemd->listen_fd = -1;
        drop_connection(systemd);
}

FakeSystemd *fake_systemd_new(Loop *loop) {
        FakeSystemd *systemd = calloc(1, sizeof(FakeSystemd));

        ck_assert_ptr_nonnull(systemd);
        systemd->loop = loop;
        systemd->listener.fn = on_listener;
        systemd->listen_fd = -1;
        systemd->run_jobs.fn = on_run_jobs;
        systemd->calls = buf_make(CALLS_MAX_BYTES);
        return systemd;
}

FakeSystemd *fake_systemd_free(FakeSystemd *systemd) {
        HashNode *node;

        if (!systemd)
                return NULL;

        fake_systemd_cut(systemd);
        loop_defer_cancel(&systemd->run_jobs);
        while ((node = hash_map_first(&systemd->units))) {
                hash_map_remove(&systemd->units, node);
                unit_free(container_of(node, FakeUnit, node));
        }
        hash_map_done(&systemd->units);
        buf_done(&systemd->calls);
        free(systemd);
        return NULL;
}

/* What tests ask and do */

const char *fake_systemd_calls(const FakeSystemd *systemd) {
        return systemd->calls.data ? systemd->calls.data : "";
}

unsigned fake_systemd_count(const FakeSystemd *systemd, const char *start) {
        unsigned n = 0;

        for (const char *line = fake_systemd_calls(systemd); *line; line = strchr(line, '\n') + 1)
                n += strncmp(line, start, strlen(start)) == 0;
        return n;
}

void fake_systemd_forget_calls(FakeSystemd *systemd) {
        buf_clear(&systemd->calls);
}

void fake_systemd_hold(FakeSystemd *systemd, const char *member) {
        systemd->held_member = member;
}

void fake_systemd_release(FakeSystemd *systemd) {
        for (unsigned i = 0; i < systemd->n_held; i++)
                carry_out(systemd, systemd->held[i]);
        drop_held(systemd);
}

void fake_systemd_give_up(FakeSystemd *systemd) {
        for (unsigned i = 0; i < systemd->n_held; i++)
                ck_assert_int_ge(sd_bus_reply_method_errorf(systemd->held[i], SD_BUS_ERROR_NO_REPLY,
                                                            "no answer in time"),
                                 0);
        drop_held(systemd);
}

void fake_systemd_set_jobs_first(FakeSystemd *systemd, bool is_first) {
        systemd->is_job_first = is_first;
}

void fake_systemd_set_refusal(FakeSystemd *systemd, const char *text) {
        systemd->refusal = text;
}

void fake_systemd_hold_jobs(FakeSystemd *systemd, bool is_held) {
        systemd->are_jobs_held = is_held;
        if (!is_held)
                loop_defer(systemd->loop, &systemd->run_jobs);
}

void fake_systemd_end_jobs(FakeSystemd *systemd, const char *result) {
        for (HashNode *node = hash_map_first(&systemd->units); node;
             node = hash_map_next(&systemd->units, node)) {
                FakeUnit *unit = container_of(node, FakeUnit, node);

                if (unit->job > 0)
                        job_end(unit, result);
        }
}

void fake_systemd_pin(FakeSystemd *systemd, const char *name) {
        FakeUnit *unit = unit_get(systemd, name);

        unit->is_pinned = true;
        unit_load(unit);
}

const char *fake_systemd_loaded_text(const FakeSystemd *systemd, const char *name) {
        FakeUnit *unit = unit_find(systemd, name);

        return unit ? unit->text : NULL;
}

const char *fake_systemd_active(const FakeSystemd *systemd, const char *name) {
        FakeUnit *unit = unit_find(systemd, name);

        return unit && unit->is_known ? unit->active : "";
}

bool fake_systemd_is_linked(const FakeSystemd *systemd, const char *name) {
        FakeUnit *unit = unit_find(systemd, name);

        return unit && unit->link;
}

bool fake_systemd_is_enabled(const FakeSystemd *systemd, const char *name) {
        FakeUnit *unit = unit_find(systemd, name);

        return unit && unit->is_enabled;
}

void fake_systemd_unit_dies(FakeSystemd *systemd, const char *name) {
        unit_set_state(unit_get(systemd, name), "failed", "failed");
}

void fake_systemd_tell_foreign(FakeSystemd *systemd) {
        tell_states(systemd, "foreign.service", "active", "running");
}

unsigned fake_systemd_unit_starts(const FakeSystemd *systemd, const char *name) {
        const FakeUnit *unit = unit_find(systemd, name);

        return unit ? unit->n_starts : 0;
}

void fake_systemd_set_own_job(FakeSystemd *systemd, const char *type) {
        systemd->own_job = type;
}
