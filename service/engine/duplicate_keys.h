// Duplicate keys: requests with the same idempotency key in one batch.
#pragma once

#include <stddef.h>

struct job;

// Keeps the first job of each request key in `jobs` and moves the later ones to `deferred` (room
// for n); both stay in order. `sorted` is scratch for n. Returns how many stay, and in
// ret_deferred how many were moved.
size_t duplicate_keys_defer(struct job **jobs, size_t n, struct job **deferred, struct job **sorted,
                            size_t *ret_deferred);
