// The slug of each result: the word that the log, the metrics and the problem types share. A slug
// never changes once a release has had it, because clients and alerts match on it.
#include "base/rc.h"

#include <stddef.h>

static const char *const slugs[RC_COUNT] = {
    [RC_OK] = "ok",

    [RC_OUT_OF_STOCK] = "out-of-stock",
    [RC_COUPON_EXHAUSTED] = "coupon-exhausted",
    [RC_LIMIT_REACHED] = "limit-reached",
    [RC_ALREADY_DRAWN] = "already-drawn",
    [RC_NOT_ENOUGH_POINTS] = "not-enough-points",
    [RC_ALREADY_EARNED] = "already-earned",
    [RC_RESERVATION_EXPIRED] = "reservation-expired",
    [RC_RESERVATION_RESOLVED] = "reservation-resolved",
    [RC_RESERVATION_LIMIT] = "reservation-limit",
    [RC_RESERVATION_LONGER] = "reservation-longer",
    [RC_COUPON_REDEEMED] = "coupon-redeemed",
    [RC_COUPON_NOT_REDEEMABLE] = "coupon-not-redeemable",
    [RC_ALREADY_ROLLED_BACK] = "already-rolled-back",
    [RC_PART_OF_ORDER] = "part-of-order",
    [RC_PRICE_MISSING] = "price-missing",
    [RC_ORDER_EXISTS] = "order-exists",
    [RC_ORDER_CLOSED] = "order-closed",
    [RC_REFUND_EXCEEDS_ORDER] = "refund-exceeds-order",
    [RC_NOT_FOUND] = "not-found",
    [RC_VERSION_MISMATCH] = "version-mismatch",
    [RC_RECONCILIATION_RUNNING] = "reconciliation-running",
    [RC_LAB_BUSY] = "lab-busy",

    [RC_MALFORMED_REQUEST] = "malformed-request",
    [RC_IDEMPOTENCY_KEY_MISSING] = "idempotency-key-missing",
    [RC_IDEMPOTENCY_MISMATCH] = "idempotency-mismatch",
    [RC_INVALID_FIELD] = "invalid-field",
    [RC_UNKNOWN_FIELD] = "unknown-field",
    [RC_UNAUTHORIZED] = "unauthorized",
    [RC_FORBIDDEN] = "forbidden",
    [RC_METHOD_NOT_ALLOWED] = "method-not-allowed",
    [RC_REQUEST_TIMEOUT] = "request-timeout",
    [RC_BODY_TOO_LARGE] = "body-too-large",
    [RC_TARGET_TOO_LONG] = "target-too-long",
    [RC_HEADERS_TOO_LARGE] = "headers-too-large",
    [RC_EXPECTATION_FAILED] = "expectation-failed",
    [RC_UNSUPPORTED_MEDIA_TYPE] = "unsupported-media-type",
    [RC_NOT_IMPLEMENTED] = "not-implemented",

    [RC_LOCK_BUSY] = "lock-busy",
    [RC_LOCK_LOST] = "lock-lost",
    [RC_CONTENTION] = "contention",
    [RC_OVERLOADED] = "overloaded",
    [RC_BACKEND_UNAVAILABLE] = "backend-unavailable",
    [RC_OUTCOME_UNKNOWN] = "outcome-unknown",

    [RC_DUPLICATE] = "duplicate",
    [RC_MOVED] = "moved",
    [RC_CONFLICT] = "conflict",
    [RC_STALE_TOKEN] = "stale-token",

    [RC_USAGE] = "usage",
    [RC_SCHEMA] = "schema",
    [RC_IO] = "io",
    [RC_NO_MEMORY] = "no-memory",
    [RC_INTERNAL] = "internal",
};

const char *rc_slug(enum rc rc)
{
    if ((unsigned)rc >= RC_COUNT || slugs[rc] == NULL)
        return slugs[RC_INTERNAL];
    return slugs[rc];
}

bool rc_is_transient(enum rc rc)
{
    return rc >= RC_LOCK_BUSY && rc <= RC_OUTCOME_UNKNOWN;
}
