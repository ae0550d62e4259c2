// An operation: what a client requests of a counter, and its outcome. The value travels from the
// HTTP handler through lane, worker and section back to the handler. Plain data, owned by the
// handler.
#pragma once

#include "base/rc.h"
#include "domain/ids.h"

#include <stdbool.h>
#include <stdint.h>

// Each endpoint has its own strategy setting.
enum endpoint { ENDPOINT_STOCK, ENDPOINT_COUPON, ENDPOINT_LOTTERY, ENDPOINT_COUNT };

// Each kind is a row of the table in kinds.h.
enum operation_kind {
    OPERATION_DEDUCT,
    OPERATION_RESTOCK,
    OPERATION_ISSUE,
    OPERATION_DRAW,
    OPERATION_KIND_COUNT
};

#define QUANTITY_MAX INT64_C(1000000)
#define REMAINING_MAX INT64_C(1000000000000) // restock refuses to pass it
#define COUPON_CODE_MAX 24
#define ENTROPY_WORDS 4

// The result of an operation. A replay has the result of the first success.
struct outcome {
    enum rc rc;
    bool replayed;     // the request key was used before: this is the first result
    int64_t remaining; // after this operation; on a refusal: as read
    int64_t version;   // the counter's, after this operation; on a refusal: as read
    char strategy[STRATEGY_NAME_MAX + 1]; // it ran under; a replay: its first run
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

// A hash over everything the client requested, to recognise an idempotency key that is reused for a
// different request. Never negative, so that it fits a signed column.
int64_t operation_fingerprint(const struct operation *operation);
