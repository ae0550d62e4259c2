// Time. Deadlines and leases use the monotonic clock only; wall time is for logs.
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

// Nanoseconds on CLOCK_MONOTONIC. Any thread.
int64_t clock_now_ns(void);

// Milliseconds since 1970 on the wall clock. Any thread.
int64_t clock_wall_ms(void);

// Sleeps at least this long; a signal does not shorten it. Zero or less returns at once.
void clock_sleep_ns(int64_t duration_ns);

// pthread_cond_wait with a deadline on the monotonic clock. False if it has passed. Works with any
// condition variable, whatever its own clock.
bool clock_wait(pthread_cond_t *condition, pthread_mutex_t *mutex, int64_t until_ns);

// Milliseconds left until a monotonic deadline, rounded up, never negative.
int64_t clock_left_ms(int64_t deadline_ns);
