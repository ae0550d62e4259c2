// The table of endpoints, and the fingerprint of an operation. Fingerprints stay in the ledger
// for years: what they hash, and in which order, must be the same on every machine.
#include "domain/operation.h"

#include "base/text.h"
#include "domain/kinds.h"

const struct endpoint_traits endpoint_traits[ENDPOINT_COUNT] = {
    [ENDPOINT_STOCK] = {"stock", .counters = 1U << ENDPOINT_STOCK},
    [ENDPOINT_COUPON] = {"coupon", .counters = 1U << ENDPOINT_COUPON},
    [ENDPOINT_LOTTERY] = {"lottery", .counters = 1U << ENDPOINT_LOTTERY},
    [ENDPOINT_POINTS] = {"points", .counters = 1U << ENDPOINT_POINTS},
    [ENDPOINT_RESERVATION] = {"reservation", .counters = 1U << ENDPOINT_STOCK},
    [ENDPOINT_ORDER] = {"order", .counters = 1U << ENDPOINT_ORDER | 1U << ENDPOINT_STOCK |
                                             1U << ENDPOINT_COUPON | 1U << ENDPOINT_POINTS},
};

const char *endpoint_name(enum endpoint endpoint)
{
    return endpoint_traits[endpoint].name;
}

enum endpoint operation_endpoint(const struct operation *operation)
{
    return kinds[operation->kind].endpoint;
}

int64_t operation_fingerprint(const struct operation *operation)
{
    uint64_t hash = text_hash_text(TEXT_HASH_START, kinds[operation->kind].name);
    if (operation->intent != 0)
        return (int64_t)(text_hash_int(hash, (int64_t)operation->intent) >> 1);
    hash = text_hash_text(hash, operation->leg.counter);
    hash = text_hash_text(hash, operation->user_id);
    hash = text_hash_text(hash, operation->order_id);
    hash = text_hash_int(hash, operation->leg.amount);
    for (size_t i = 0; i < operation->n_more; i++) {
        hash = text_hash_text(hash, operation->more[i].counter);
        hash = text_hash_int(hash, operation->more[i].amount);
    }
    // Members that not every kind has are hashed only where they are, so that the fingerprints of
    // the others stay as they are in the ledger. The id of a reservation that the operation opens
    // is not the client's.
    if (operation->reservation != NULL && !kinds[operation->kind].opens)
        hash = text_hash_text(hash, operation->reservation);
    if (operation->ttl_ms != 0)
        hash = text_hash_int(hash, operation->ttl_ms);
    return (int64_t)(hash >> 1);
}
