// The result of every fallible call: business outcomes and faults in one enumeration. The HTTP
// status and the texts of each result are in http/wire/problem_table.c.
#pragma once

#include <stdbool.h>

enum rc {
    RC_OK = 0,

    // Refusals: the request is valid, but the state of the shop does not allow it. No ledger row is
    // written, so the idempotency key stays unused.
    RC_OUT_OF_STOCK,
    RC_COUPON_EXHAUSTED,
    RC_LIMIT_REACHED,
    RC_ALREADY_DRAWN,
    RC_NOT_ENOUGH_POINTS,
    RC_ALREADY_EARNED,
    RC_RESERVATION_EXPIRED,
    RC_RESERVATION_RESOLVED,
    RC_RESERVATION_LIMIT,
    RC_RESERVATION_LONGER,
    RC_COUPON_REDEEMED,
    RC_COUPON_NOT_REDEEMABLE,
    RC_ALREADY_ROLLED_BACK,
    RC_PART_OF_ORDER,
    RC_PRICE_MISSING,
    RC_ORDER_EXISTS,
    RC_ORDER_CLOSED,
    RC_REFUND_EXCEEDS_ORDER,
    RC_NOT_FOUND,
    RC_VERSION_MISMATCH,
    RC_RECONCILIATION_RUNNING,
    RC_LAB_BUSY,

    // The request itself is wrong. Sending it again unchanged does not help.
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
    RC_TARGET_TOO_LONG,
    RC_HEADERS_TOO_LARGE,
    RC_EXPECTATION_FAILED,
    RC_UNSUPPORTED_MEDIA_TYPE,
    RC_NOT_IMPLEMENTED,

    // Transient faults: retry with the same idempotency key. rc_is_transient relies on this order.
    RC_LOCK_BUSY,
    RC_LOCK_LOST,
    RC_CONTENTION,
    RC_OVERLOADED,
    RC_BACKEND_UNAVAILABLE,
    RC_OUTCOME_UNKNOWN,

    // Internal to store, guard and engine; never sent to a client.
    RC_DUPLICATE, // a unique key rejected the row
    RC_MOVED,     // a movement's counter has not the version that its leg demands
    RC_CONFLICT,  // the row did not meet the update's condition, or the database asked for a retry
    RC_STALE_TOKEN, // the row has already seen a newer fencing token

    // Faults of the program, its settings or its environment.
    RC_USAGE,
    RC_SCHEMA,
    RC_IO,
    RC_NO_MEMORY,
    RC_INTERNAL,

    RC_COUNT
};

// The stable name of a result, such as "out-of-stock". An unknown value is named as internal. Never
// NULL. Any thread.
const char *rc_slug(enum rc rc);

// True for RC_LOCK_BUSY to RC_OUTCOME_UNKNOWN: the same operation may succeed if it is retried with
// the same idempotency key.
bool rc_is_transient(enum rc rc);
