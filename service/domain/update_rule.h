// The update rules: what a save demands of a row before it writes. This is the half of a strategy
// that makes numbers right.
#pragma once

#include <stdbool.h>

enum update_rule {
    RULE_NAIVE,       // writes the computed value and demands nothing
    RULE_VERSION,     // demands version = :read
    RULE_FENCED,      // demands version = :read AND fence <= :token
    RULE_CONDITIONAL, // remaining = remaining - :n, demands remaining >= :n
    RULE_LOCKED,      // SELECT ... FOR UPDATE: the row lock is the demand
    RULE_COUNT
};

// What the engine does differently under a rule. The SQL of each rule stands in
// store/tables/counter.c, side by side.
struct update_rule_traits {
    const char *name;    // "conditional"
    bool locks_on_load;  // load takes the row locks (SELECT ... FOR UPDATE) and holds them
    bool compares_token; // save demands that the row has seen no newer fencing token
    // Save adds a delta to the row, whatever was read. So stock need not be read first, and after
    // the save the engine reads the locked row and decides again from it.
    bool adds;
};

// Indexed by enum update_rule.
extern const struct update_rule_traits update_rules[RULE_COUNT];
