// Every way a call can end: business outcomes and faults in one enumeration, with the only map to
// words, HTTP status and "may the same request be sent again".
#pragma once

#include <stdbool.h>

enum rc {
    RC_OK = 0,

    // Refusals: the request was understood and the state of the shop says no. Nothing is recorded.
    RC_OUT_OF_STOCK,
    RC_COUPON_EXHAUSTED,
    RC_LIMIT_REACHED,
    RC_ALREADY_DRAWN,
    RC_NOT_FOUND,
    RC_RECONCILIATION_RUNNING,

    // The request itself is at fault.
    RC_MALFORMED_REQUEST,
    RC_IDEMPOTENCY_KEY_MISSING,
    RC_IDEMPOTENCY_MISMATCH,
    RC_INVALID_FIELD,
    RC_UNKNOWN_FIELD,
    RC_UNAUTHORIZED,
    RC_FORBIDDEN,
    RC_METHOD_NOT_ALLOWED,
    RC_REQUEST_TIMEOUT,
    RC_BODY_TOO_LARGE,
    RC_HEADERS_TOO_LARGE,
    RC_UNSUPPORTED_MEDIA_TYPE,
    RC_NOT_IMPLEMENTED,

    // Faults of the moment: the same request may be sent again, with the same idempotency key.
    RC_LOCK_BUSY,
    RC_LOCK_LOST,
    RC_CONTENTION,
    RC_OVERLOADED,
    RC_BACKEND_UNAVAILABLE,
    RC_OUTCOME_UNKNOWN,

    // Between store, guard and engine; never seen by a client.
    RC_DUPLICATE,   // a unique key refused the row
    RC_CONFLICT,    // the row was not as the update demanded, or the database asked to try again
    RC_STALE_TOKEN, // the row has seen a newer fencing token than ours

    // Faults of the program or its surroundings.
    RC_USAGE,
    RC_SCHEMA,
    RC_IO,
    RC_NO_MEMORY,
    RC_INTERNAL,

    RC_COUNT
};

struct rc_info {
    const char *slug;   // "out-of-stock": the log's word, and the problem type's last path segment
    const char *title;  // one short sentence without a full stop
    const char *remedy; // what the caller can do, in a sentence or two
    int status;         // HTTP status
    bool retryable;     // the identical request may succeed later
};

// Never NULL; an unknown value is described as internal. Any thread.
const struct rc_info *rc_info(enum rc rc);

// rc_info(rc)->slug.
const char *rc_slug(enum rc rc);

// The problem with this slug, or RC_COUNT. Only those that a client can meet are found.
enum rc rc_from_slug(const char *slug);
