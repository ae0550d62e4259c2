// The one map from results to words, HTTP status and "may be sent again".
#include "base/rc.h"

#include "base/cleanup.h"

#include <string.h>

static const struct rc_info infos[RC_COUNT] = {
    [RC_OK] = {"ok", "Done", "", 200, false},

    [RC_OUT_OF_STOCK] = {"out-of-stock", "Not enough in stock",
                         "Ask for no more than `remaining`, or wait for a restock. Nothing was "
                         "deducted and the same idempotency key may be used again.",
                         409, true},
    [RC_COUPON_EXHAUSTED] = {"coupon-exhausted", "All coupons of the campaign have been issued",
                             "Wait until the campaign's total is raised.", 409, true},
    [RC_LIMIT_REACHED] = {"limit-reached", "This user has as many coupons as one user may have",
                          "Nothing to do: the campaign's per_user_limit is reached.", 409, false},
    [RC_ALREADY_DRAWN] = {"already-drawn", "This user has used up all draws",
                          "Nothing to do: the lottery's draws_per_user is reached. To see the "
                          "earlier result again, send the request with its own idempotency key.",
                          409, false},
    [RC_NOT_FOUND] = {"not-found", "There is nothing at this address",
                      "Check the path and the identifier in it; an administrator creates products, "
                      "campaigns and lotteries with PUT.",
                      404, false},

    [RC_RECONCILIATION_RUNNING] = {"reconciliation-running", "A reconciliation is running already",
                                   "One at a time on an instance: ask again after Retry-After.",
                                   409, true},

    [RC_MALFORMED_REQUEST] = {"malformed-request", "The request cannot be understood",
                              "Send well-formed HTTP, and one JSON object without duplicate keys, "
                              "at most 16 levels deep, in UTF-8 without a byte order mark.",
                              400, false},
    [RC_IDEMPOTENCY_KEY_MISSING] = {"idempotency-key-missing", "The Idempotency-Key is missing",
                                    "Send an Idempotency-Key header of 1 to 64 visible ASCII "
                                    "characters, new for each operation and the same for its "
                                    "retries.",
                                    400, false},
    [RC_IDEMPOTENCY_MISMATCH] = {"idempotency-mismatch",
                                 "This idempotency key was used for another request",
                                 "Use a new key for a new operation; repeat a request only "
                                 "unchanged.",
                                 422, false},
    [RC_INVALID_FIELD] = {"invalid-field", "A field has a value that is not allowed",
                          "See `field` and `expected` in the answer.", 422, false},
    [RC_UNKNOWN_FIELD] = {"unknown-field", "A field is not known here",
                          "Leave out the field named in `field`. Prices, versions and tokens are "
                          "the server's to say.",
                          422, false},
    [RC_UNAUTHORIZED] = {"unauthorized", "Who is asking is not known",
                         "Send `Authorization: Bearer TOKEN`.", 401, false},
    [RC_FORBIDDEN] = {"forbidden", "This is not allowed",
                      "Use a token that may do this, or ask the operator to allow it.", 403, false},
    [RC_METHOD_NOT_ALLOWED] = {"method-not-allowed", "This address does not answer that method",
                               "Use one of the methods in the Allow header.", 405, false},
    [RC_REQUEST_TIMEOUT] = {"request-timeout", "The request did not arrive in time",
                            "Send the whole request without long pauses.", 408, true},
    [RC_BODY_TOO_LARGE] = {"body-too-large", "The body is too large", "Send at most 64 KiB.", 413,
                           false},
    [RC_HEADERS_TOO_LARGE] = {"headers-too-large", "The headers are too large",
                              "Send fewer or shorter headers.", 431, false},
    [RC_UNSUPPORTED_MEDIA_TYPE] = {"unsupported-media-type", "The body is not JSON",
                                   "Send `Content-Type: application/json`.", 415, false},
    [RC_NOT_IMPLEMENTED] = {"not-implemented", "The server does not know this method or coding",
                            "Use the methods of the API, and no transfer coding but `chunked`.",
                            501, false},

    [RC_LOCK_BUSY] = {"lock-busy", "Somebody else holds the lock",
                      "Send the same request again, with the same idempotency key.", 503, true},
    [RC_LOCK_LOST] = {"lock-lost", "The lock was lost before the change was saved",
                      "Nothing was changed. Send the same request again, with the same idempotency "
                      "key.",
                      503, true},
    [RC_CONTENTION] =
        {"contention", "Too many writers changed the same row",
         "Nothing was changed. Send the same request again, with the same idempotency "
         "key.",
         503, true},
    [RC_OVERLOADED] = {"overloaded", "The server has more to do than it can do in time",
                       "Nothing was changed. Send the same request again after Retry-After, with "
                       "the same idempotency key.",
                       503, true},
    [RC_BACKEND_UNAVAILABLE] = {"backend-unavailable", "A server behind this one does not answer",
                                "Nothing was changed. Send the same request again, with the same "
                                "idempotency key; /readyz names what is missing.",
                                503, true},
    [RC_OUTCOME_UNKNOWN] = {"outcome-unknown", "Whether the change was saved is not known",
                            "Send the same request again, with the same idempotency key: it has "
                            "its effect once.",
                            503, true},

    [RC_DUPLICATE] = {"duplicate", "A unique key refused the row", "", 500, true},
    [RC_CONFLICT] = {"conflict", "The row was not as the update demanded", "", 500, true},
    [RC_STALE_TOKEN] = {"stale-token", "The row has seen a newer fencing token", "", 500, true},

    [RC_USAGE] = {"usage", "A setting or an argument is wrong", "", 500, false},
    [RC_SCHEMA] = {"schema", "The database schema does not fit this program", "", 500, false},
    [RC_IO] = {"io", "Reading or writing failed", "", 500, true},
    [RC_NO_MEMORY] = {"no-memory", "Out of memory", "", 500, true},
    [RC_INTERNAL] = {"internal", "Something went wrong inside the server",
                     "Nothing was acknowledged. The server's log says more.", 500, false},
};

const struct rc_info *rc_info(enum rc rc)
{
    if ((unsigned)rc >= RC_COUNT || infos[rc].slug == NULL)
        return &infos[RC_INTERNAL];
    return &infos[rc];
}

const char *rc_slug(enum rc rc)
{
    return rc_info(rc)->slug;
}

enum rc rc_from_slug(const char *slug)
{
    for (size_t i = RC_OK + 1; i < ARRAY_LENGTH(infos); i++) {
        if (infos[i].remedy[0] != '\0' && strcmp(infos[i].slug, slug) == 0)
            return (enum rc)i;
    }
    return RC_COUNT;
}
