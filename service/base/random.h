// Randomness from the kernel's CSPRNG.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Fills the buffer from getrandom(2). Aborts the process if the kernel cannot: without randomness
// it is not safe to go on. Any thread.
void random_bytes(void *buffer, size_t length);

// A uniform number below the bound (bound > 0), without modulo bias. For jitter. Any thread.
uint64_t random_below(uint64_t bound);
