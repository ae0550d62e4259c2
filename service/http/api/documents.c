// The API's description, and an HTML page for each problem type, so that the `type` of an answer
// can be opened in a browser.
#include "http/api/handlers.h"

#include "http/api/embedded.h"
#include "http/call.h"
#include "http/wire/problem_table.h"

#include <string.h>

void document_openapi_answer(struct call *call)
{
    call->status = 200;
    call->content_type = "application/yaml";
    call->document = (struct slice){embedded_openapi_yaml, embedded_openapi_yaml_length};
}

// Titles and remedies come from problem_info and hold no character that HTML would interpret.
// Backquotes become <code>.
static void append_prose(struct buffer *out, const char *prose)
{
    bool in_code = false;
    while (*prose != '\0') {
        size_t length = strcspn(prose, "`");
        buffer_append(out, prose, length);
        prose += length;
        if (*prose == '`') {
            buffer_append_text(out, in_code ? "</code>" : "<code>");
            in_code = !in_code;
            prose++;
        }
    }
}

static const char page_head[] =
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
    "<meta name=\"color-scheme\" content=\"light dark\">"
    "<style>body{font:1.05rem/1.6 system-ui,sans-serif;max-width:38rem;margin:0 auto;"
    "padding:2rem 1.2rem;color:CanvasText;background:Canvas}h1{font-size:1.5rem;line-height:1.25}"
    "code{font-family:ui-monospace,monospace;font-size:.92em;padding:.1em .3em;border-radius:.25em;"
    "background:color-mix(in srgb,CanvasText 9%,Canvas);overflow-wrap:anywhere}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.3rem 1rem}dt{opacity:.7}"
    "dd{margin:0}</style>";

void document_problem_answer(struct call *call)
{
    enum rc rc = problem_from_slug(call->id);
    if (rc == RC_COUNT) {
        problem_set(&call->problem, RC_NOT_FOUND, "Unknown problem type.");
        return;
    }
    const struct problem_info *info = problem_info(rc);
    const char *slug = rc_slug(rc);
    struct buffer *out = &call->reply;
    buffer_append(out, page_head, sizeof page_head - 1);
    buffer_format(out, "<title>%s (%d)</title><h1>%s</h1><p>", slug, info->status, info->title);
    append_prose(out, info->remedy);
    buffer_format(out,
                  "</p><dl><dt>Type</dt><dd><code>/problems/%s</code></dd><dt>Status</dt>"
                  "<dd>%d</dd><dt>Retry unchanged</dt><dd>%s</dd></dl></html>\n",
                  slug, info->status, info->retryable ? "may succeed later" : "will fail again");
    call->content_type = "text/html; charset=utf-8";
    call->policy = "default-src 'none'; style-src 'unsafe-inline'";
    call->status = 200;
}
