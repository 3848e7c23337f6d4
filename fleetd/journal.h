/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Send the log to the journal, with its fields, when stderr leads there (JOURNAL_STREAM,
 * systemd.exec(5)); else it stays as it is, plain lines on stderr. */
void journal_log_start(void);
