// Pages for browsers, and the files that they load: compiled into the program, so that a page and
// the API that it calls are of one version. They are served with or without a token: they hold no
// data, and what they call asks for the token.
#include "http/api/handlers.h"

#include "http/api/embedded.h"
#include "http/call.h"

#include <string.h>

// A page loads what this service serves, and nothing else. No script and no style stands in the
// HTML.
static const char policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static const struct embedded_page *find(const struct embedded_page *pages, const char *path)
{
    while (pages->path != NULL && strcmp(pages->path, path) != 0)
        pages++;
    return pages->path != NULL ? pages : NULL;
}

void pages_answer(struct call *call)
{
    const struct embedded_page *page = find(embedded_pages, call->target.data);
    if (page == NULL)
        page = find(embedded_vendored, call->target.data);
    if (page == NULL) {
        problem_set(&call->problem, RC_NOT_FOUND, "No such page.");
        return;
    }
    enum rc rc = call_answer_version(call, page->tag);
    if (rc != RC_OK) {
        problem_set(&call->problem, rc, "%s", "");
        return;
    }
    call->content_type = page->type;
    call->policy = policy;
    call->document = page->text;
}
