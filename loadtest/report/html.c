// The report for people: page.html, which is compiled into the program, with the JSON report
// inside. The page draws everything from that.
//
// What breaks it: text in the JSON that ends the script element or opens a comment in it. Both
// begin with '<', which JSON has only inside of texts and where it may be written as \u003c; so it
// is, always.
#include "report/report.h"

#include "report/page.h"

#include <string.h>

#define HOLE "\"the JSON report\"" // stands once in the page, alone in its script element

void report_html(const struct summary *summary, struct buffer *out)
{
    struct buffer json CLEANUP(buffer_release) = {0};
    report_json(summary, &json);
    const char *hole = strstr(embedded_report_page, HOLE);
    if (json.failed || hole == NULL) {
        out->failed = true;
        return;
    }
    buffer_append(out, embedded_report_page, (size_t)(hole - embedded_report_page));
    for (const char *at = json.data;;) {
        size_t length = strcspn(at, "<");
        buffer_append(out, at, length);
        at += length;
        if (*at == '\0')
            break;
        buffer_append_text(out, "\\u003c");
        at++;
    }
    buffer_append_text(out, hole + strlen(HOLE));
}
