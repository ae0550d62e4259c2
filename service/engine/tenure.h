// How long a section stays inside its guard: whether the next jobs of the same lanes run under the
// hold of the last ones (lock.tenure_ms).
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct section;
struct section_source;

// Call after a round of `n_last` jobs, all finished or to be given back. True: the guard is still
// held, and jobs wait in the section's lanes; take them and run them under the same hold. False:
// leave the guard. Waits for jobs for at most a millisecond, on the worker's thread.
bool tenure_goes_on(const struct section *section, const struct section_source *source,
                    size_t n_last);
