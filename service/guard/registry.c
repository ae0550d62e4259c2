// All strategies in one plain array, and the look-up by name. To add one: write its file, declare
// and list it here, and name the file in CMakeLists.txt.
#include "guard/guard.h"

#include <stdlib.h>
#include <string.h>

extern const struct strategy strategy_none, strategy_mutex, strategy_optimistic,
    strategy_conditional, strategy_row_lock, strategy_lock_table, strategy_redis_lock,
    strategy_zookeeper_lock, strategy_etcd_lock;

const struct strategy *const strategies[] = {
    &strategy_none,       &strategy_mutex,
    &strategy_optimistic, &strategy_conditional,
    &strategy_row_lock,   &strategy_lock_table,
    &strategy_redis_lock, &strategy_zookeeper_lock,
    &strategy_etcd_lock,  NULL,
};

const struct strategy *strategy_find(const char *name)
{
    for (const struct strategy *const *at = strategies; *at != NULL; at++)
        if (strcmp((*at)->name, name) == 0)
            return *at;
    return NULL;
}

const char *guard_scope_name(enum guard_scope scope)
{
    switch (scope) {
    case SCOPE_NOTHING:
        return "nothing";
    case SCOPE_PROCESS:
        return "process";
    case SCOPE_CLUSTER:
        return "cluster";
    }
    return "unknown";
}

const char *update_rule_name(enum update_rule rule)
{
    switch (rule) {
    case RULE_NAIVE:
        return "naive";
    case RULE_VERSION:
        return "version";
    case RULE_FENCED:
        return "fenced";
    case RULE_CONDITIONAL:
        return "conditional";
    case RULE_LOCKED:
        return "locked";
    }
    return "unknown";
}

enum rc guard_open(const struct strategy *strategy, const struct guard_settings *settings,
                   struct guard **ret_guard, char *ret_why)
{
    struct guard *guard = NULL;
    if (strategy->open != NULL) {
        enum rc rc = strategy->open(settings, &guard, ret_why);
        if (rc != RC_OK)
            return rc;
    } else {
        guard = calloc(1, sizeof *guard);
        if (guard == NULL)
            return RC_NO_MEMORY;
    }
    guard->strategy = strategy;
    *ret_guard = guard;
    return RC_OK;
}

void guard_close(struct guard *guard)
{
    if (guard == NULL)
        return;
    if (guard->strategy->close != NULL)
        guard->strategy->close(guard);
    else
        free(guard);
}
