// What a client wants of a scarce number, and what came of it: the value that travels from the
// handler through lane, worker and section back to the handler. Plain data, owned by the handler.
#pragma once

#include "base/rc.h"
#include "domain/ids.h"

#include <stdbool.h>
#include <stdint.h>

// Each endpoint has its own strategy setting.
enum endpoint { ENDPOINT_STOCK, ENDPOINT_COUPON, ENDPOINT_LOTTERY, ENDPOINT_COUNT };

enum operation_kind { OPERATION_DEDUCT, OPERATION_RESTOCK, OPERATION_ISSUE, OPERATION_DRAW };

#define QUANTITY_MAX INT64_C(1000000)
#define REMAINING_MAX INT64_C(1000000000000) // restock refuses to pass it
#define COUPON_CODE_MAX 24
#define ENTROPY_WORDS 4

// What the first success said; a replay says the same again.
struct outcome {
    enum rc rc;
    bool replayed;     // the request key had been seen: this is the first result
    int64_t remaining; // after this operation; on a refusal: what was there
    int64_t version;   // the counter's version after this operation; on a refusal: the one read
    char strategy[STRATEGY_NAME_MAX + 1]; // the strategy that did it
    char code[COUPON_CODE_MAX + 1];       // coupon only
    char prize[ID_MAX + 1];               // draw only; empty is the blank
};

struct operation {
    enum operation_kind kind;
    char counter[COUNTER_NAME_MAX + 1]; // "stock/SKU-1", "coupon/SPRING", "lottery/WHEEL"
    char request_key[REQUEST_KEY_MAX + 1];
    char user_id[ID_MAX + 1];        // empty if none
    char order_id[ID_MAX + 1];       // empty if none
    int64_t quantity;                // deduct, restock: 1 to QUANTITY_MAX; issue, draw: 1
    uint64_t entropy[ENTROPY_WORDS]; // issue, draw: from the CSPRNG, so that deciding is pure
    struct outcome outcome;
};

const char *endpoint_name(enum endpoint endpoint); // "stock", "coupon", "lottery"
enum endpoint operation_endpoint(const struct operation *operation);
const char *operation_kind_name(enum operation_kind kind); // "deduct", ...: the ledger's reason

// A hash over everything the client asked for, to recognise an idempotency key that is used again
// for something else. Never negative, so that it fits a signed column.
int64_t operation_fingerprint(const struct operation *operation);

// The id behind the first slash: "SKU-1" of "stock/SKU-1".
const char *operation_id(const struct operation *operation);
