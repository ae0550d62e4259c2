// The idempotency keys of a run's operations, and the names of their users.
#pragma once

#include "run/plan.h"

#define KEY_MAX 36 // bytes

// The key of the n-th operation: RUN-n, or a UUID of RFC 9562. Two runs of the same name and seed
// have the same keys, except for the time in a UUIDv7, which is `wall_ms`.
void key_write(const struct plan *plan, int64_t n, int64_t wall_ms, char ret_key[KEY_MAX + 1]);

void user_write(int64_t user, char ret_user[KEY_MAX + 1]); // "u17"
