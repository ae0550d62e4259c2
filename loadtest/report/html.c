// The report as a web page: page.html, which is compiled into the program, with the JSON report
// inside. The page draws everything from that JSON.
//
// What breaks it: text in the JSON that ends the script element or opens a comment in it. Both
// begin with '<'. JSON has '<' only inside texts, where it may be written as \u003c, so it always
// is.
#include "report/report.h"

#include "report/page.h"

#include <string.h>

#define PLACEHOLDER "\"the JSON report\"" // occurs once in the page, alone in its script element

void report_html(const struct summary *summary, struct buffer *out)
{
    struct buffer json CLEANUP(buffer_release) = {0};
    report_json(summary, &json);
    const char *placeholder = strstr(embedded_report_page, PLACEHOLDER);
    if (json.failed || placeholder == NULL) {
        out->failed = true;
        return;
    }
    buffer_append(out, embedded_report_page, (size_t)(placeholder - embedded_report_page));
    for (const char *at = json.data;;) {
        size_t length = strcspn(at, "<");
        buffer_append(out, at, length);
        at += length;
        if (*at == '\0')
            break;
        buffer_append_text(out, "\\u003c");
        at++;
    }
    buffer_append_text(out, placeholder + strlen(PLACEHOLDER));
}
