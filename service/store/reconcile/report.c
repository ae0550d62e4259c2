// Turns a check's name and numbers into a finding with a sentence for people.
#include "store/reconcile/report.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

void report_finding(struct report *report, const char *check, const char *sentence,
                    int64_t expected, int64_t found, const char *where, ...)
{
    struct finding finding = {
        .check = check, .expected = expected, .found = found, .compensation = report->compensation};
    report->compensation.n_changes = 0;
    va_list arguments;
    va_start(arguments, where);
    vsnprintf(finding.where, sizeof finding.where, where, arguments);
    va_end(arguments);
    text_format(finding.what, sizeof finding.what,
                "%s: expected %" PRId64 ", found %" PRId64 " (%+" PRId64 ")", sentence, expected,
                found, found - expected);
    report->summary.findings++;
    report->on_finding(report->arg, &finding);
}
