// Stand-ins for the strategies whose library was missing at build time.
//
// Such a strategy is still listed, and choosing it fails with the reason. CMakeLists.txt leaves the
// real file out and defines HOLDFAST_WITHOUT_... instead.
#include "guard/guard.h"

#include "base/text.h"

#ifdef HOLDFAST_WITHOUT_REDIS
extern const struct strategy strategy_redis_lock;

static enum rc open_redis_lock(const struct guard_settings *settings, struct guard **ret_guard,
                               char *ret_why)
{
    (void)settings, (void)ret_guard;
    text_copy(ret_why, GUARD_ERROR_MAX, "redis-lock: this holdfast was built without hiredis");
    return RC_USAGE;
}

const struct strategy strategy_redis_lock = {
    .name = "redis-lock",
    .summary = "A key in Redis with a lease. Unavailable: built without hiredis.",
    .scope = SCOPE_CLUSTER,
    .rule = RULE_FENCED,
    .open = open_redis_lock,
};
#endif

#ifdef HOLDFAST_WITHOUT_ZOOKEEPER
extern const struct strategy strategy_zookeeper_lock;

static enum rc open_zookeeper_lock(const struct guard_settings *settings, struct guard **ret_guard,
                                   char *ret_why)
{
    (void)settings, (void)ret_guard;
    text_copy(ret_why, GUARD_ERROR_MAX,
              "zookeeper-lock: this holdfast was built without the ZooKeeper client");
    return RC_USAGE;
}

const struct strategy strategy_zookeeper_lock = {
    .name = "zookeeper-lock",
    .summary = "A queue of ephemeral nodes in ZooKeeper. Unavailable: built without its client.",
    .scope = SCOPE_CLUSTER,
    .rule = RULE_FENCED,
    .open = open_zookeeper_lock,
};
#endif

#ifdef HOLDFAST_WITHOUT_ETCD
extern const struct strategy strategy_etcd_lock;

static enum rc open_etcd_lock(const struct guard_settings *settings, struct guard **ret_guard,
                              char *ret_why)
{
    (void)settings, (void)ret_guard;
    text_copy(ret_why, GUARD_ERROR_MAX, "etcd-lock: this holdfast was built without libcurl");
    return RC_USAGE;
}

const struct strategy strategy_etcd_lock = {
    .name = "etcd-lock",
    .summary = "A queue of keys with a lease in etcd. Unavailable: built without libcurl.",
    .scope = SCOPE_CLUSTER,
    .rule = RULE_FENCED,
    .open = open_etcd_lock,
};
#endif
