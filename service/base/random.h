// Randomness from the kernel's CSPRNG.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Fills the buffer from getrandom(2). Ends the process if the kernel has none: there is no safe way
// on without it. Any thread.
void random_bytes(void *buffer, size_t length);

// A uniform number below the bound (bound > 0), without modulo bias. For jitter. Any thread.
uint64_t random_below(uint64_t bound);
