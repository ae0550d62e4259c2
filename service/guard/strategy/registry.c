// All strategies in one array, and the look-up by name.
//
// To add a strategy: one file in this folder, its name in the two lists here, and one line in
// CMakeLists.txt.
#include "guard/strategy/registry.h"

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
