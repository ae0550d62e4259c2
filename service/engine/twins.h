// Requests that came twice at once: the same request key in one batch.
#pragma once

#include <stddef.h>

struct job;

// Moves the later ones of jobs with the same request key from jobs to deferred (room for n); both
// stay in order. `sorted` is scratch for n. Returns how many stay, and in ret_deferred how many do
// not.
size_t twins_defer(struct job **jobs, size_t n, struct job **deferred, struct job **sorted,
                   size_t *ret_deferred);
