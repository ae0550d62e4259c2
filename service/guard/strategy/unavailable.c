// Stands in for a strategy whose library was absent at build time: it is listed like the others,
// and whoever asks for it is told why it cannot be had. CMake says which, and leaves the real file
// out.
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
    .summary = "A lock with expiry in Redis. Not available: built without hiredis.",
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
    .summary = "A queue of ephemeral nodes in ZooKeeper. Not available: built without its client.",
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
    .summary = "A line of keys with a lease in etcd. Not available: built without libcurl.",
    .scope = SCOPE_CLUSTER,
    .rule = RULE_FENCED,
    .open = open_etcd_lock,
};
#endif
