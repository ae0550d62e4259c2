// The scripts. What they do to the shop's rules is in guide/, a page for each name.
//
// Every harmful preset gives a request time to think between its decision and its save, and runs
// each request by itself (combine off), because a lane would let only one at a time decide. The
// unique keys and checks are off (belts), because they would refuse the second save of a version.
#include "http/lab/scenario.h"

#include <string.h>

// clang-format off
#define ITEM "/v1/stock/LAB"
#define PRODUCT {.what = "PUT " ITEM, .body = "{\"quantity\":$u,\"price_cents\":100}"}
#define SUPPLY .verb = "sold", .counter = "stock/LAB", .setup = {PRODUCT}
#define DEDUCT(ms) {.what = "POST " ITEM "/deduct", .body = "{\"quantity\":1}", .at_ms = (ms)}
#define OPENING(user) {.what = "POST /v1/points/" user "/earn", .body = "{\"points\":$u}"}
#define TRANSFER(from, to)                                                                         \
    {.what = "POST /v1/points/transfers",                                                          \
     .body = "{\"from\":\"" from "\",\"to\":\"" to "\",\"points\":1}"}
// clang-format on

// Presets: what differs is named behind them.
#define PRESET(n_buyers, n_units, think, lease)                                                    \
    .buyers = (n_buyers), .units = (n_units), .think_ms = (think), .workers = 16,                  \
    .lease_ms = (lease), .seed = 1, .fence = true
#define CROWD PRESET(100, 50, 20, 10000), .instances = 1
#define FEW PRESET(12, 6, 60, 200), .instances = 1
#define LATE PRESET(2, 1, 0, 10000), .instances = 1, .sleep_ms = 600
#define REFUNDS PRESET(4, 6, 60, 10000), .instances = 1
#define SLOW PRESET(8, 4, 200, 300), .instances = 1, .sleep_ms = 350
#define PLENTY PRESET(12, 24, 60, 10000)
#define FEW_ON_TWO PRESET(12, 6, 60, 200), .instances = 2

const char *const lab_lock_names[LAB_LOCK_COUNT] = {
    [LAB_LOCK_NONE] = "none",
    [LAB_LOCK_AROUND] = "around",
    [LAB_LOCK_UNLOCK_EARLY] = "unlock-early",
    [LAB_LOCK_CHECK_FIRST] = "check-first",
    [LAB_LOCK_NO_OWNER] = "no-owner",
};

const struct lab_scenario lab_scenarios[] = {
    {
        .name = "lost-update",
        .title = "Lost update",
        .summary =
            "Two buyers read the same number, and both write what they have computed from it.",
        SUPPLY,
        .roles = {{DEDUCT(0)}},
        .harmful = {.strategy = "none", CROWD},
        .safe = {.strategy = "conditional", CROWD},
    },
    {
        .name = "two-draws",
        .title = "Two draws",
        .summary = "One user draws several times at once, although one draw is allowed.",
        .verb = "drawn",
        .counter = "lottery/LAB",
        .limit = LAB_LIMIT_ONE,
        .setup = {{.what = "PUT /v1/lotteries/LAB",
                   .body =
                       "{\"draws_per_user\":1,\"blank_weight\":1,\"prizes\":[{\"prize\":\"cup\","
                       "\"quantity\":$u,\"weight\":9}]}"}},
        .roles = {{{.what = "POST /v1/lotteries/LAB/draw", .body = "{\"user_id\":\"ann\"}"}}},
        .harmful = {.strategy = "none", FEW},
        .safe = {.strategy = "optimistic", FEW},
    },
    {
        .name = "too-many-coupons",
        .title = "Too many coupons",
        .summary = "A campaign has a total, and more coupons than that are issued.",
        .verb = "issued",
        .counter = "coupon/LAB",
        .setup = {{.what = "PUT /v1/coupons/LAB", .body = "{\"total\":$u,\"per_user_limit\":1}"}},
        .roles = {{{.what = "POST /v1/coupons/LAB/issue", .body = "{\"user_id\":\"user-$b\"}"}}},
        .harmful = {.strategy = "none", CROWD},
        .safe = {.strategy = "conditional", CROWD},
    },
    {
        .name = "opposite-order",
        .title = "Points in opposite order",
        .summary = "Points move between accounts in all directions at once, and their sum changes.",
        .verb = "moved",
        .counter = "points/ann",
        .limit = LAB_LIMIT_SUM,
        .setup = {OPENING("ann"), OPENING("bob"), OPENING("cat")},
        .roles = {{TRANSFER("ann", "bob")},
                  {TRANSFER("bob", "ann")},
                  {TRANSFER("ann", "cat")},
                  {TRANSFER("cat", "ann")}},
        .alternate = true,
        .harmful = {.strategy = "none", CROWD},
        .safe = {.strategy = "row-lock", CROWD},
    },
    {
        .name = "expired-lock",
        .title = "A lock that expired while its holder slept",
        .summary = "A lease ends while its holder stands still. The holder wakes up and writes.",
        SUPPLY,
        .roles = {{DEDUCT(0)}, {DEDUCT(50)}},
        .leases = true,
        .sleeps = PAUSE_BEFORE_SAVE,
        .harmful = {.strategy = "lock-table", FEW, .sleep_ms = 600, .lock = LAB_LOCK_AROUND},
        .safe = {.strategy = "lock-table", FEW, .sleep_ms = 600},
    },
    {
        .name = "foreign-unlock",
        .title = "Another holder's lock released",
        .summary =
            "A slow holder releases its lock without asking whose it is now. A third enters.",
        SUPPLY,
        .roles = {{{.what = "POST " ITEM "/deduct", .body = "{\"quantity\":1000}"}}, {DEDUCT(50)}},
        .leases = true,
        .sleeps = PAUSE_BEFORE_LEAVE,
        .harmful = {.strategy = "lock-table", SLOW, .lock = LAB_LOCK_NO_OWNER},
        .safe = {.strategy = "lock-table", SLOW},
    },
    {
        .name = "unlock-before-commit",
        .title = "Unlock before commit",
        .summary = "The lock is released when the decision is made, and the write commits later.",
        SUPPLY,
        .roles = {{DEDUCT(0)}},
        .harmful = {.strategy = "lock-table", FEW, .lock = LAB_LOCK_UNLOCK_EARLY},
        .safe = {.strategy = "lock-table", FEW},
    },
    {
        .name = "check-outside-lock",
        .title = "Check outside of the lock",
        .summary = "A buyer reads first, then takes the lock, and writes what it decided before.",
        SUPPLY,
        .roles = {{DEDUCT(0)}},
        .harmful = {.strategy = "lock-table", FEW, .lock = LAB_LOCK_CHECK_FIRST},
        .safe = {.strategy = "lock-table", FEW},
    },
    {
        .name = "sent-twice",
        .title = "The request sent twice",
        .summary = "A client sends a request again before the first has ended. Both take effect.",
        SUPPLY,
        .roles = {{DEDUCT(0)}},
        .limit = LAB_LIMIT_BUYERS,
        .harmful = {.strategy = "conditional", PLENTY, .instances = 1, .duplicates = 1},
        .safe = {.strategy = "conditional", PLENTY, .instances = 1, .duplicates = 1, .belts = true},
    },
    {
        .name = "lost-answer",
        .title = "COMMIT without an answer",
        .summary = "The change is committed and the answer is lost. The client sends it once more.",
        SUPPLY,
        .limit = LAB_LIMIT_BUYERS,
        .roles =
            {{{.what = "POST " ITEM "/deduct", .body = "{\"quantity\":1}", .answer_lost = true}}},
        .harmful = {.strategy = "conditional", PLENTY, .instances = 2},
        .safe = {.strategy = "conditional", PLENTY, .instances = 2, .belts = true},
    },
    {
        .name = "two-instances",
        .title = "A mutex and two instances",
        .summary = "A mutex keeps the threads of one process apart. A second process has its own.",
        SUPPLY,
        .roles = {{DEDUCT(0)}},
        .harmful = {.strategy = "mutex", FEW_ON_TWO},
        .safe = {.strategy = "lock-table", FEW_ON_TWO},
    },
    {
        .name = "late-confirm",
        .title = "A hold confirmed too late",
        .summary =
            "A reservation ends while its confirmation is being decided. The unit is sold twice.",
        SUPPLY,
        .roles =
            {{{.what = "POST /v1/reservations",
               .body =
                   "{\"user_id\":\"ann\",\"ttl_s\":8,\"lines\":[{\"sku\":\"LAB\",\"quantity\":1}]}",
               .ttl_ms = 400},
              {.what = "POST /v1/reservations/$r/confirm", .body = "{}", .at_ms = 200}},
             {DEDUCT(500)}},
        .sleeps = PAUSE_BEFORE_SAVE,
        .harmful = {.strategy = "none", LATE},
        .safe = {.strategy = "conditional", LATE},
    },
    {
        .name = "refunded-twice",
        .title = "Refunded twice",
        .summary = "Two refunds of one order are decided at once, and both are paid.",
        .verb = "refunded",
        .counter = "stock/LAB",
        .limit = LAB_LIMIT_ONE,
        .setup = {PRODUCT,
                  {.what = "POST /v1/orders",
                   .body = "{\"user_id\":\"ann\",\"order_id\":\"lab\",\"lines\":[{\"sku\":\"LAB\","
                           "\"quantity\":1}]}"}},
        .roles = {{{.what = "POST /v1/orders/lab/refunds",
                    .body = "{\"lines\":[{\"line\":0,\"quantity\":1,\"restock\":true}]}"}}},
        .harmful = {.strategy = "none", REFUNDS},
        .safe = {.strategy = "conditional", REFUNDS},
    },
    {.name = NULL},
};

const struct lab_scenario *lab_scenario_find(const char *name)
{
    for (const struct lab_scenario *scenario = lab_scenarios; scenario->name != NULL; scenario++) {
        if (strcmp(scenario->name, name) == 0)
            return scenario;
    }
    return NULL;
}

bool lab_scenario_suits(const struct lab_scenario *scenario, const struct strategy *strategy)
{
    if (scenario->leases)
        return strategy->renew != NULL;
    return scenario->harmful.lock == LAB_LOCK_NONE || strategy_is_lock(strategy);
}
