// All strategies in one array, and the look-up by name.
//
// To add a strategy: one file in this folder, one line here, and one line in CMakeLists.txt.
#include "guard/strategy/registry.h"

#include <string.h>

// strategy_NAME is defined in NAME.c. In the order of the documentation.
#define STRATEGIES(X)                                                                              \
    X(none)                                                                                        \
    X(mutex)                                                                                       \
    X(optimistic)                                                                                  \
    X(conditional)                                                                                 \
    X(row_lock)                                                                                    \
    X(lock_table)                                                                                  \
    X(redis_lock)                                                                                  \
    X(zookeeper_lock)                                                                              \
    X(etcd_lock)

#define DECLARE(name) extern const struct strategy strategy_##name;
STRATEGIES(DECLARE)

#define ADDRESS(name) &strategy_##name,
const struct strategy *const strategies[] = {STRATEGIES(ADDRESS) NULL};

const struct strategy *strategy_find(const char *name)
{
    for (const struct strategy *const *at = strategies; *at != NULL; at++)
        if (strcmp((*at)->name, name) == 0)
            return *at;
    return NULL;
}
