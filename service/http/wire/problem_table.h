// The HTTP status and the texts of each result: the only map from enum rc to HTTP.
#pragma once

#include "base/rc.h"

#include <stdbool.h>

struct problem_info {
    int status;         // HTTP status
    bool retryable;     // the identical request may succeed later
    const char *title;  // one short sentence without a full stop
    const char *remedy; // what the client can do, in a sentence or two; "" if clients never see it
};

// Never NULL; an unknown value is described as internal. Any thread.
const struct problem_info *problem_info(enum rc rc);

// The result with this slug, or RC_COUNT. Finds only results that a client can receive.
enum rc problem_from_slug(const char *slug);
