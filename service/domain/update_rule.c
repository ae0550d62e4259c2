// The five update rules side by side.
#include "domain/update_rule.h"

const struct update_rule_traits update_rules[RULE_COUNT] = {
    [RULE_NAIVE] = {.name = "naive"},
    [RULE_VERSION] = {.name = "version"},
    [RULE_FENCED] = {.name = "fenced", .compares_token = true},
    [RULE_CONDITIONAL] = {.name = "conditional", .adds = true},
    [RULE_LOCKED] = {.name = "locked", .locks_on_load = true},
};
