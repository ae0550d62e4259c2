// The Lua scripts of redis-lock, embedded from scripts/*.lua. Redis runs each as one step.
//
// KEYS and ARGV stand at the top of each file. Every script is safe to repeat and to run late: an
// acquire that arrives after its owner has given up is refused.
#pragma once

#include <stddef.h>

#define REDIS_LOCK_PREFIX "holdfast:lock:"

enum redis_script {
    REDIS_ACQUIRE,
    REDIS_RELEASE,
    REDIS_ABANDON,
    REDIS_RENEW,
    REDIS_LIFT,
    REDIS_RAISE,
    REDIS_PING,
    REDIS_SCRIPT_COUNT
};

extern const char embedded_redis_acquire[], embedded_redis_release[], embedded_redis_abandon[],
    embedded_redis_renew[], embedded_redis_lift[], embedded_redis_raise[], embedded_redis_ping[];
