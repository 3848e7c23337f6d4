/* SPDX-License-Identifier: Apache-2.0 */

/* doctor: is the cluster well, and if not, what is to be done. The server judges
 * (GET /fleet/v1/doctor), this prints: a line per check, and below it what it found. */

#include <stdio.h>

#include "fleetctl/cli.h"
#include "fleetctl/output.h"

enum { JSON_MAX_BYTES = 64 * 1024 * 1024 };

/* Text that others wrote, without what a terminal could stumble over. */
static void print_text(const char *text) {
        for (; *text; text++)
                (void)putchar((unsigned char)*text < ' ' || *text == 0x7f ? ' ' : *text);
}

static void print_finding(const Finding *finding) {
        (void)fputs(finding->is_note ? "  - " : "  ! ", stdout);
        if (finding->subject) {
                print_text(finding->subject);
                (void)fputs(": ", stdout);
        }
        print_text(finding->what);
        (void)putchar('\n');
        if (finding->remedy) {
                (void)fputs("    What to do: ", stdout);
                print_text(finding->remedy);
                (void)putchar('\n');
        }
}

static void print_check(const Diagnosis *diagnosis, const CheckResult *check) {
        char outcome[64];

        (void)snprintf(outcome, sizeof(outcome), "%llu problem%s",
                       (unsigned long long)check->n_problems, check->n_problems == 1 ? "" : "s");
        (void)printf("%-9s %-12s ", check->name, check->n_problems == 0 ? "ok" : outcome);
        print_text(check->summary ? check->summary : "");
        (void)putchar('\n');
        for (size_t i = 0; i < diagnosis->n_findings; i++)
                if (streq(diagnosis->findings[i].check, check->name))
                        print_finding(&diagnosis->findings[i]);
}

static int print_json(const Diagnosis *diagnosis) {
        _cleanup_(buf_done) Buf out = buf_make(JSON_MAX_BYTES);
        int r = diagnosis_encode(diagnosis, &out);

        if (r < 0)
                return cli_fail_because("Error printing the findings", r, &(Diag){ 0 });
        (void)fwrite(out.data, 1, out.n_bytes, stdout);
        (void)putchar('\n');
        return EXIT_OK;
}

static int print_all(const Diagnosis *diagnosis, bool is_json) {
        bool is_well = true;
        int code = EXIT_OK;

        for (size_t i = 0; i < diagnosis->n_checks; i++) {
                if (!is_json)
                        print_check(diagnosis, &diagnosis->checks[i]);
                is_well &= diagnosis->checks[i].n_problems == 0;
        }
        if (is_json)
                code = print_json(diagnosis);
        return code == EXIT_OK && !is_well ? EXIT_FAILED : code;
}

static int run(Cli *cli) {
        _cleanup_(diagnosis_done) Diagnosis diagnosis = { 0 };
        Diag diag = { 0 };
        Client *client;
        bool is_json;
        int r;

        r = output_is_json(&cli->options, &is_json, &diag);
        if (r < 0)
                return cli_fail_usage(cli, r, &diag);
        r = cli_client(cli, &client);
        if (r < 0)
                return EXIT_FAILED;

        r = client_diagnose(client, &diagnosis, &diag);
        if (r < 0)
                return cli_fail_because("Error looking over the cluster", r, &diag);
        return print_all(&diagnosis, is_json);
}

static const Flag rows[] = {
        { "output", "FORMAT", "table",
          "How to print: table, for a line per check and what it found, or json for what the API "
          "says",
          offsetof(Options, format), FLAG_STRING, 'o', false },
};
static const FlagTable flags = { rows, ELEMENTSOF(rows) };

const Command cmd_doctor = {
        .name = "doctor",
        .usage = "[-o json]",
        .summary = "Say what is wrong with the cluster, and what to do",
        .description =
                "Asks every machine how it is, reads all records, and prints a line per check: the "
                "store, the\n"
                "leader, the machines, their clocks and versions, the units, and the records. "
                "Below "
                "it stands\n"
                "what the check found: problems, marked '!', with what to do, and notes, marked "
                "'-'. Nothing\n"
                "is changed. Ends with 0 when there is no problem, else with 1.\n",
        .flags = &flags,
        .args_message = "fleetctl doctor takes no arguments",
        .args_exit = EXIT_USAGE,
        .run = run,
};
