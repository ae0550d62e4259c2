// The Lua scripts of redis-lock. Redis runs each as one step.
//
// KEYS are the locks `holdfast:lock:{NAME}` of the set; whatever else a script touches has a name
// made of the same {NAME}, or of the owner. ARGV[1] is the owner everywhere. All are safe to
// repeat, and to be carried out late: what an owner asks for after it has given up is refused.
#pragma once

#include <stddef.h>

#define REDIS_LOCK_PREFIX "holdfast:lock:"

enum redis_script {
    // ARGV: lease ms, tokens wanted, channel ("": do not stand in line), ms that the place lasts,
    // number of the ask, which the message on the channel bears: "OWNER ASK TOKEN".
    // The highest of so many new tokens; or 0 or less: how many ms the lock in the way lasts at
    // most, negated.
    REDIS_ACQUIRE,
    REDIS_RELEASE, // how many locks were freed; they go to the first in line
    // ARGV: ms in which a late REDIS_ACQUIRE is refused (0: there is none). Gives up a lock or a
    // place in line. 1.
    REDIS_ABANDON,
    REDIS_RENEW, // ARGV: lease ms. 1, or 0: no longer ours
    REDIS_LIFT,  // ARGV: floor, tokens wanted. The highest new token, or 0: no longer ours
    REDIS_RAISE, // ARGV: token, below which no counter may stay. 1, or 0: no longer ours
    REDIS_PING,  // 1
    REDIS_SCRIPT_COUNT
};

extern const char *const redis_scripts[REDIS_SCRIPT_COUNT];
