// Stand-ins for the strategies whose library was missing at build time.
//
// Such a strategy is still listed, and choosing it fails with the reason. CMakeLists.txt leaves the
// real file out and defines HOLDFAST_WITHOUT_... instead.
#include "guard/guard.h"

#include "base/text.h"

#define UNAVAILABLE(symbol, text, lock, library)                                                   \
    extern const struct strategy strategy_##symbol;                                                \
                                                                                                   \
    static enum rc open_##symbol(const struct guard_settings *settings, struct guard **ret_guard,  \
                                 char *ret_why)                                                    \
    {                                                                                              \
        (void)settings, (void)ret_guard;                                                           \
        text_copy(ret_why, GUARD_ERROR_MAX, text ": this holdfast was built without " library);    \
        return RC_USAGE;                                                                           \
    }                                                                                              \
                                                                                                   \
    const struct strategy strategy_##symbol = {                                                    \
        .name = (text),                                                                            \
        .summary = lock ". Unavailable: built without " library ".",                               \
        .scope = SCOPE_CLUSTER,                                                                    \
        .rule = RULE_FENCED,                                                                       \
        .open = open_##symbol,                                                                     \
    }

#ifdef HOLDFAST_WITHOUT_REDIS
UNAVAILABLE(redis_lock, "redis-lock", "A key in Redis with a lease", "hiredis");
#endif

#ifdef HOLDFAST_WITHOUT_ZOOKEEPER
UNAVAILABLE(zookeeper_lock, "zookeeper-lock", "A queue of ephemeral nodes in ZooKeeper",
            "the ZooKeeper client");
#endif

#ifdef HOLDFAST_WITHOUT_ETCD
UNAVAILABLE(etcd_lock, "etcd-lock", "A queue of keys with a lease in etcd", "libcurl");
#endif
