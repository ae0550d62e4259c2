// Replaces the answers that the HTTP library makes by itself: to a Content-Length that is no
// number, a head beyond its memory, a malformed chunk, a header line without a colon. They are HTML
// pages, and 0.9.75 sends the header section of some twice, so that a client reads half of the
// second one as the body.
//
// The library has no callback for them. But it queues them with its own public function
// MHD_queue_response, and the dynamic linker resolves that call like any other: to the definition
// in the program, which is below. It has the refusal answered past the library and returns MHD_NO,
// on which the library closes the connection. The program itself uses library_queue.
//
// What breaks it: a library that binds its own calls (-Bsymbolic, or built into the program). Then
// its pages are sent again, and tests/http/test_raw.py fails.
#include "http/server/library.h"

#include <dlfcn.h>

typedef enum MHD_Result queue_fn(struct MHD_Connection *, unsigned, struct MHD_Response *);

static queue_fn *queue;
static refusal_fn *refuse;

bool library_init(refusal_fn *on_refusal)
{
    refuse = on_refusal;
    *(void **)&queue = dlsym(RTLD_NEXT, "MHD_queue_response"); // POSIX's own spelling
    return queue != NULL;
}

enum MHD_Result library_queue(struct MHD_Connection *connection, unsigned status,
                              struct MHD_Response *response)
{
    return queue(connection, status, response);
}

// Called by the library only.
enum MHD_Result MHD_queue_response(struct MHD_Connection *connection, unsigned status,
                                   struct MHD_Response *response)
{
    (void)response; // the caller frees it
    refuse(connection, status);
    return MHD_NO;
}
