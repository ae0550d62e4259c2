// An operation: what a client requests of one counter or several, and its outcome. The value
// travels from the HTTP handler through lane, worker and section back to the handler. Plain data,
// owned by the handler.
#pragma once

#include "base/rc.h"
#include "domain/ids.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Each endpoint has its own strategy setting.
enum endpoint {
    ENDPOINT_STOCK,
    ENDPOINT_COUPON,
    ENDPOINT_LOTTERY,
    ENDPOINT_POINTS,
    ENDPOINT_RESERVATION,
    ENDPOINT_ORDER,
    ENDPOINT_COUNT
};

// Each kind is a row of the table in kinds.h.
enum operation_kind {
    OPERATION_DEDUCT,
    OPERATION_RESTOCK,
    OPERATION_ISSUE,
    OPERATION_DRAW,
    OPERATION_EARN,
    OPERATION_EARN_FOR_ORDER,
    OPERATION_SPEND,
    OPERATION_TRANSFER,
    OPERATION_RESERVE,
    OPERATION_RESERVE_LIMITED, // the user may have only so many open
    OPERATION_EXTEND,          // before what ends a hold: a batch saves facts in this order
    OPERATION_CONFIRM,
    OPERATION_RELEASE,
    OPERATION_EXPIRE,
    OPERATION_EXPIRE_DUE,
    OPERATION_REDEEM,
    OPERATION_ROLLBACK,
    OPERATION_ORDER,
    OPERATION_ORDER_WITH_CODE,
    OPERATION_ORDER_RESERVED,
    OPERATION_CANCEL,
    OPERATION_REFUND,
    OPERATION_KIND_COUNT
};

#define QUANTITY_MAX INT64_C(1000000)
#define REMAINING_MAX INT64_C(1000000000000) // restock refuses to pass it
#define COUPON_CODE_MAX 24
#define ENTROPY_WORDS 4
#define RESERVATION_ID_MAX 20

// One counter that an operation touches. What `amount` means, and which leg is which, is its
// kind's.
struct leg {
    char counter[COUNTER_NAME_MAX + 1]; // "stock/SKU-1", "coupon/SPRING", "lottery/WHEEL"
    const char *child; // a counter that this one guards, and that changes with it; NULL if none
    // 1 to QUANTITY_MAX; of a confirmation: what is sold, and may be 0; of a buyer: 0.
    int64_t amount;
    bool may_create; // a counter that does not exist begins with this change
    // Of movements only (domain/movement.h), whose amount has a sign:
    bool fresh;               // refused if the counter exists
    bool barred;              // refused, unless the request is a replay
    bool partial;             // takes no more than there is
    enum rc refusal;          // what the client is told if it is refused
    int64_t opening;          // what a counter that begins with this change holds before it
    int64_t at_least;         // what must be there, if that is more than what is taken
    int64_t demanded_version; // 0: any
    int64_t delta;            // the result: what was given or taken
    // The result: after the operation; on a refusal: as read.
    int64_t remaining, version;
    bool refused; // this leg is a reason of the refusal
    // If there was too little: when the next hold on the counter expires, in the database's ms; 0
    // if it has none.
    int64_t next_release_ms;
};

#define LEGS_MAX 64

// The result of an operation. A replay has the result of the first success.
struct outcome {
    enum rc rc;
    bool replayed;     // the request key was used before: this is the first result
    int64_t remaining; // of the first leg's counter, after this operation;
    int64_t version;   // on a refusal: of the counter that refused, as read
    char strategy[STRATEGY_NAME_MAX + 1];     // it ran under; a replay: its first run
    char code[COUPON_CODE_MAX + 1];           // coupon only
    char prize[ID_MAX + 1];                   // draw only; empty is the blank
    int64_t expires_at_ms;                    // reserve and extend only
    char reservation[RESERVATION_ID_MAX + 1]; // reserve only: a replay's
    const char *state; // of the reservation, if that is why it was refused; static; else NULL
};

struct operation {
    enum operation_kind kind;
    struct leg leg;   // the first, which most kinds have alone
    struct leg *more; // the others, borrowed; no two legs have the same counter. With an `intent`
                      // there is room for LEGS_MAX - 1: a replay brings the legs of its first run.
    size_t n_more;    // less than LEGS_MAX
    char request_key[REQUEST_KEY_MAX + 1];
    const char *reservation; // its id, borrowed; NULL if none
    uint64_t intent;         // hash of the request, where the legs depend on more than it; else 0
    void *record;            // what the facts of its kind write besides; borrowed
    int64_t ttl_ms;          // reserve, extend: how long the goods are held from now on
    int64_t open_max;        // reserve limited: how many reservations the user may have open
    char user_id[USER_ID_MAX + 1];   // empty if none
    char order_id[ORDER_ID_MAX + 1]; // empty if none
    uint64_t entropy[ENTROPY_WORDS]; // issue, draw: from the CSPRNG, so that deciding is pure
    struct outcome outcome;
};

static inline size_t operation_n_legs(const struct operation *operation)
{
    return 1 + operation->n_more;
}

static inline struct leg *operation_leg(struct operation *operation, size_t i)
{
    return i == 0 ? &operation->leg : &operation->more[i - 1];
}

struct endpoint_traits {
    const char *name; // "stock": of its setting and its metrics
    // Whose counters its operations change: a bit, 1 << endpoint, for each noun.
    unsigned counters;
};

// Indexed by enum endpoint.
extern const struct endpoint_traits endpoint_traits[ENDPOINT_COUNT];

const char *endpoint_name(enum endpoint endpoint); // "stock", "coupon", ...
enum endpoint operation_endpoint(const struct operation *operation);

// A hash over everything the client requested, to recognise an idempotency key that is reused for a
// different request. Never negative, so that it fits a signed column.
int64_t operation_fingerprint(const struct operation *operation);
