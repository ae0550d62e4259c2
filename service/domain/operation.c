// The table of endpoints, and the fingerprint of an operation.
#include "domain/operation.h"

#include "base/text.h"
#include "domain/kinds.h"

#include <string.h>

const struct endpoint_traits endpoint_traits[ENDPOINT_COUNT] = {
    [ENDPOINT_STOCK] = {"stock", .counters = 1U << ENDPOINT_STOCK},
    [ENDPOINT_COUPON] = {"coupon", .counters = 1U << ENDPOINT_COUPON},
    [ENDPOINT_LOTTERY] = {"lottery", .counters = 1U << ENDPOINT_LOTTERY},
    [ENDPOINT_POINTS] = {"points", .counters = 1U << ENDPOINT_POINTS},
};

const char *endpoint_name(enum endpoint endpoint)
{
    return endpoint_traits[endpoint].name;
}

enum endpoint operation_endpoint(const struct operation *operation)
{
    return kinds[operation->kind].endpoint;
}

// Hashes the terminator too, so that "ab" + "c" and "a" + "bc" differ.
static uint64_t hash_text(uint64_t hash, const char *text)
{
    return text_hash(hash, text, strlen(text) + 1);
}

int64_t operation_fingerprint(const struct operation *operation)
{
    uint64_t hash = hash_text(TEXT_HASH_START, kinds[operation->kind].name);
    hash = hash_text(hash, operation->leg.counter);
    hash = hash_text(hash, operation->user_id);
    hash = hash_text(hash, operation->order_id);
    hash = text_hash(hash, &operation->leg.amount, sizeof operation->leg.amount);
    for (size_t i = 0; i < operation->n_more; i++) {
        hash = hash_text(hash, operation->more[i].counter);
        hash = text_hash(hash, &operation->more[i].amount, sizeof operation->more[i].amount);
    }
    return (int64_t)(hash >> 1);
}
