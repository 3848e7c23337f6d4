/* SPDX-License-Identifier: Apache-2.0 */

/* The journal as a sink of the log: a line becomes an entry with PRIORITY=, MESSAGE=, and
 * FLEET_UNIT= and FLEET_MACHINE= where it is about one (systemd.journal-fields(7)), so that
 * `journalctl FLEET_UNIT=web.service` shows what fleet did with it.
 *
 * The native protocol is spoken only when stderr is the journal's already: a daemon started by
 * hand, or with its output sent elsewhere, writes where it was told to.
 */

#include "fleetd/journal.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* Where the code that logs stands is of no use to an operator, and would be this file every time.
 */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "lib/base/log.h"

enum {
        ENTRY_MAX_BYTES = 2048 + 16 /* a line is cut at 2 kB by the log; a field's name in front */
};

static void sink_journal(int priority, const LogSubject *subject, const char *text) {
        char message[ENTRY_MAX_BYTES], level[16], unit[512], machine[128];
        struct iovec fields[4];
        int n_fields = 0;

        (void)snprintf(message, sizeof(message), "MESSAGE=%s", text);
        fields[n_fields++] = (struct iovec){ .iov_base = message, .iov_len = strlen(message) };
        (void)snprintf(level, sizeof(level), "PRIORITY=%d", priority & LOG_PRIMASK);
        fields[n_fields++] = (struct iovec){ .iov_base = level, .iov_len = strlen(level) };
        if (subject->unit) {
                (void)snprintf(unit, sizeof(unit), "FLEET_UNIT=%s", subject->unit);
                fields[n_fields++] = (struct iovec){ .iov_base = unit, .iov_len = strlen(unit) };
        }
        if (subject->machine) {
                (void)snprintf(machine, sizeof(machine), "FLEET_MACHINE=%s", subject->machine);
                fields[n_fields++] = (struct iovec){ .iov_base = machine,
                                                     .iov_len = strlen(machine) };
        }

        if (sd_journal_sendv(fields, n_fields) < 0)
                (void)fprintf(stderr, "<%d>%s\n", priority & LOG_PRIMASK, text);
}

static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        uintmax_t device, inode;
        struct stat st;

        return stream && sscanf(stream, "%ju:%ju", &device, &inode) == 2 &&
               fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void journal_log_start(void) {
        if (stderr_is_journal())
                log_set_sink(sink_journal);
}
