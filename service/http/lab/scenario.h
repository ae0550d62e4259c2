// What the laboratory can play: the hazards of guide/, each a short script of requests, with a
// preset that shows the harm and one that does not. Data only.
#pragma once

#include "domain/ids.h"
#include "engine/pause_points.h"
#include "guard/guard.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct strategy;

// Where a lock stands that the laboratory puts around saves without a demand, as a careless program
// would. It is the real lock of the strategy; its lease is not renewed.
enum lab_lock {
    LAB_LOCK_NONE,         // none: the engine runs the strategy as it is
    LAB_LOCK_AROUND,       // from before the load until after the commit
    LAB_LOCK_UNLOCK_EARLY, // given back after the decision, before the save
    LAB_LOCK_CHECK_FIRST,  // taken after the decision
    LAB_LOCK_NO_OWNER,     // around; given back without asking whose it is now
    LAB_LOCK_COUNT
};

extern const char *const lab_lock_names[LAB_LOCK_COUNT];

struct lab_settings {
    char strategy[STRATEGY_NAME_MAX + 1];
    int64_t buyers; // 1 to LAB_BUYERS_MAX
    int64_t units;  // what there is at the start
    int64_t
        think_ms; // between a request's decision and its save, half as much to half as much again
    int64_t workers;    // threads of each instance
    int64_t instances;  // engines on the one database, 1 or 2
    int64_t duplicates; // how many times each buyer's request is sent besides the first
    int64_t lease_ms;   // of a lock
    int64_t sleep_ms;   // how long the first buyer's thread stands still, once
    int64_t seed;       // of the think times
    bool combine;       // requests on one counter run in batches, one batch at a time
    bool fence;         // strategies with a lock demand version and token when they save
    bool belts;         // the database's unique keys and checks
    bool manual;        // each request waits for lab_step at its stops
    enum lab_lock lock;
};

#define LAB_BUYERS_MAX 1000
#define LAB_DUPLICATES_MAX 4
#define LAB_MANUAL_MAX 3 // requests of a manual run
#define LAB_ACTS_MAX 2
#define LAB_ROLES_MAX 4

// One request. $b in its texts is the buyer's number, $u the setting `units`.
struct lab_act {
    const char *what, *body; // "POST /v1/stock/LAB/deduct"; NULL ends a list
    int64_t at_ms;           // after the start of the run
    int64_t ttl_ms;          // of a reservation in a crowd; by hand it has the seconds of its body
    bool answer_lost;        // the buyer gets no answer, and sends it again to another instance
};

struct lab_scenario {
    const char *name; // also of the guide's page
    const char *title, *summary;
    const char *verb;    // "sold": what an accepted request is
    const char *counter; // the row to watch
    // How many may be accepted. LAB_LIMIT_SUM: points, whose sum is judged instead.
    enum { LAB_LIMIT_UNITS, LAB_LIMIT_ONE, LAB_LIMIT_BUYERS, LAB_LIMIT_SUM } limit;
    bool leases; // needs a lock with a lease
    struct lab_act setup[5];
    // Buyer 0 has the first role and the others the last one; or each in turn, if they alternate.
    struct lab_act roles[LAB_ROLES_MAX][LAB_ACTS_MAX + 1];
    bool alternate;
    enum pause_point sleeps; // where the first buyer's thread sleeps for sleep_ms
    struct lab_settings harmful, safe;
};

// Ends with a name that is NULL.
extern const struct lab_scenario lab_scenarios[];

// NULL if there is none.
const struct lab_scenario *lab_scenario_find(const char *name);

// Whether the scenario shows something under this strategy.
bool lab_scenario_suits(const struct lab_scenario *scenario, const struct strategy *strategy);
