// The words that clients read. A title names the problem; a remedy says what to do about it.
//
// A remedy may only speak of this attempt. A proxy may have sent an earlier attempt with the same
// idempotency key, and that attempt may have committed. Therefore no text promises that nothing was
// changed. api/lint.py compares this table with api/openapi.yaml; deploy/haproxy repeats a few
// titles in its own error pages.
#include "http/wire/problem_table.h"

#include <stddef.h>
#include <string.h>

#define RETRY_SAME_KEY                                                                             \
    "This attempt changed nothing; an earlier attempt with the same key may have succeeded. "      \
    "Send the same request again with the same idempotency key."

// clang-format off
static const struct problem_info table[RC_COUNT] = {
    [RC_OK] = {200, false, "Done", ""},

    [RC_OUT_OF_STOCK] = {409, true, "Not enough in stock",
        "Ask for at most `remaining`, or wait for a restock or until `next_release_at_ms`, when "
        "reserved units may come back. Nothing was deducted. The same idempotency key may be used "
        "again."},
    [RC_COUPON_EXHAUSTED] = {409, true, "All coupons of this campaign have been issued",
        "Wait until the campaign's total is raised."},
    [RC_LIMIT_REACHED] = {409, false, "This user has reached the coupon limit",
        "The user already has `per_user_limit` coupons of this campaign. Do not retry."},
    [RC_ALREADY_DRAWN] = {409, false, "This user has no draws left",
        "The user has already drawn `draws_per_user` times. To get an earlier result again, send "
        "that request with its own idempotency key."},
    [RC_NOT_ENOUGH_POINTS] = {409, true, "Not enough points",
        "Spend at most `remaining`. Nothing was taken. The same idempotency key may be used again."},
    [RC_ALREADY_EARNED] = {409, false, "This order has earned its points",
        "An account earns points for an order once. Nothing was added. To get the first result again, "
        "send that request with its own idempotency key."},
    [RC_RESERVATION_EXPIRED] = {409, false, "The reservation has expired",
        "The goods went back into stock. Reserve them again."},
    [RC_RESERVATION_RESOLVED] = {409, false, "The reservation is resolved",
        "It was confirmed or released before, and nothing of it is held any more. To get the first "
        "result again, send that request with its own idempotency key."},
    [RC_RESERVATION_LIMIT] = {409, true, "This user has reached the limit of open reservations",
        "Confirm or release one of the user's reservations, or wait until one expires. The same "
        "idempotency key may be used again."},
    [RC_RESERVATION_LONGER] = {409, false, "The reservation is held for longer already",
        "An extension does not end earlier than what it extends. The reservation stays as it is."},
    [RC_COUPON_REDEEMED] = {409, false, "The coupon has been redeemed",
        "All uses of this code are taken. Nothing was taken with it."},
    [RC_COUPON_NOT_REDEEMABLE] = {409, false, "The coupon cannot be redeemed",
        "Its campaign is not running now, or the order is below its minimum. Nothing was taken."},
    [RC_ALREADY_ROLLED_BACK] = {409, false, "The redemption was rolled back before",
        "The use of the code has been given back already. To get the first result again, send that request with its "
        "own idempotency key."},
    [RC_PART_OF_ORDER] = {409, false, "The redemption belongs to an order",
        "Cancel or refund the order; that gives the use of the code back."},
    [RC_PRICE_MISSING] = {409, true, "A product has no price",
        "Nothing was taken. An administrator sets the price of each product in `failed` with PATCH /v1/stock/{sku}: "
        "`price_cents`, 0 for a gift. The same idempotency key may be used again."},
    [RC_ORDER_EXISTS] = {409, false, "The order exists",
        "Another request has placed an order with this id. Choose another id, or get the order."},
    [RC_ORDER_CLOSED] = {409, false, "The order is closed",
        "It is cancelled or refunded; nothing of it can be given back any more."},
    [RC_REFUND_EXCEEDS_ORDER] = {409, false, "The refund is larger than the order",
        "Refund at most what is left of each line and of the points. Nothing was refunded."},
    [RC_NOT_FOUND] = {404, false, "Not found",
        "Check the path and the identifier in it. An administrator creates products, campaigns and "
        "lotteries with PUT; an account of points begins with its first points."},
    [RC_VERSION_MISMATCH] = {412, false, "The version does not match the condition",
        "It has changed since, perhaps by an earlier attempt of this request; or it does not exist "
        "(If-Match), or exists already (If-None-Match: *). GET it and decide anew. This attempt "
        "changed nothing."},
    [RC_RECONCILIATION_RUNNING] = {409, true, "A reconciliation is already running",
        "An instance runs one reconciliation at a time. Try again after Retry-After."},
    [RC_LAB_BUSY] = {409, true, "Another run of the laboratory goes on",
        "The laboratory plays one run at a time. Wait until it has ended, or cancel it with DELETE."},

    [RC_MALFORMED_REQUEST] = {400, false, "Malformed request",
        "Send well-formed HTTP. The body must be one JSON object in UTF-8 without a byte order "
        "mark, without duplicate keys and at most 16 levels deep."},
    [RC_IDEMPOTENCY_KEY_MISSING] = {400, false, "Missing Idempotency-Key",
        "Send an Idempotency-Key header of 1 to 64 visible ASCII characters. Use a new key for "
        "each operation and the same key for its retries."},
    [RC_IDEMPOTENCY_MISMATCH] = {422, false, "Idempotency key already used for a different request",
        "Use a new key for a new operation. Retry a request only unchanged."},
    [RC_INVALID_FIELD] = {422, false, "Invalid field value",
        "See `field` and `expected` in the answer."},
    [RC_UNKNOWN_FIELD] = {422, false, "Unknown field",
        "Remove the field that `field` names. Prices, versions and tokens are set by the server."},
    [RC_UNAUTHORIZED] = {401, false, "Missing or invalid credentials",
        "Send `Authorization: Bearer TOKEN`."},
    [RC_FORBIDDEN] = {403, false, "Not allowed",
        "Use a token with the required permission, or ask the operator to allow the call."},
    [RC_METHOD_NOT_ALLOWED] = {405, false, "Method not allowed",
        "Use one of the methods in the Allow header."},
    [RC_REQUEST_TIMEOUT] = {408, true, "The request did not arrive in time",
        "Send the whole request without long pauses."},
    [RC_BODY_TOO_LARGE] = {413, false, "The body is too large",
        "Send at most 64 KiB."},
    [RC_TARGET_TOO_LONG] = {414, false, "Path and query are too long",
        "Send at most 4095 bytes of path and query."},
    [RC_HEADERS_TOO_LARGE] = {431, false, "The headers are too large",
        "Send fewer or shorter headers."},
    [RC_EXPECTATION_FAILED] = {417, false, "Unknown expectation",
        "Send no Expect header, or `Expect: 100-continue`."},
    [RC_UNSUPPORTED_MEDIA_TYPE] = {415, false, "The body is not JSON",
        "Send `Content-Type: application/json`."},
    [RC_NOT_IMPLEMENTED] = {501, false, "Unsupported method or transfer coding",
        "Use the methods of the API. `chunked` is the only supported transfer coding."},

    [RC_LOCK_BUSY] = {503, true, "The lock was not acquired in time",
        RETRY_SAME_KEY},
    [RC_LOCK_LOST] = {503, true, "The lock was lost before the change was saved",
        RETRY_SAME_KEY},
    [RC_CONTENTION] = {503, true, "Too many concurrent changes to the same row",
        RETRY_SAME_KEY},
    [RC_OVERLOADED] = {503, true, "Server overloaded",
        RETRY_SAME_KEY " Wait for Retry-After first."},
    [RC_BACKEND_UNAVAILABLE] = {503, true, "A required backend is unavailable",
        RETRY_SAME_KEY " /readyz names the backend."},
    [RC_OUTCOME_UNKNOWN] = {503, true, "The outcome of the change is unknown",
        "The change may have been saved. Send the same request again with the same idempotency "
        "key: it takes effect once."},

    [RC_DUPLICATE] = {500, true, "A unique key rejected the row", ""},
    [RC_CONFLICT] = {500, true, "The row did not meet the update's condition", ""},
    [RC_MOVED] = {500, true, "A counter has not the version that the operation demands", ""},
    [RC_STALE_TOKEN] = {500, true, "The row has already seen a newer fencing token", ""},

    [RC_USAGE] = {500, false, "Invalid setting or argument", ""},
    [RC_SCHEMA] = {500, false, "The database schema does not match this program", ""},
    [RC_IO] = {500, true, "Reading or writing failed", ""},
    [RC_NO_MEMORY] = {500, true, "Out of memory", ""},
    [RC_INTERNAL] = {500, false, "Internal server error",
        "The request was not acknowledged. See the server's log for the cause."},
};
// clang-format on

const struct problem_info *problem_info(enum rc rc)
{
    if ((unsigned)rc >= RC_COUNT || table[rc].status == 0)
        return &table[RC_INTERNAL];
    return &table[rc];
}

enum rc problem_from_slug(const char *slug)
{
    for (int i = RC_OK + 1; i < RC_COUNT; i++) {
        if (table[i].remedy[0] != '\0' && strcmp(rc_slug((enum rc)i), slug) == 0)
            return (enum rc)i;
    }
    return RC_COUNT;
}
