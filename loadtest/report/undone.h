// What a run was to do and did not: a gate must not pass because each request was refused.
#pragma once

#include "measure/measure.h"

#include <stdbool.h>

#define UNDONE_MAX 512 // bytes of the sentence

// Whether the run did not a single thing, or a kind of request of which it sent at least
// UNDONE_REQUESTS was never answered with a 2xx. The measure's kinds are those of the history. Then
// there is a sentence in ret_sentence (UNDONE_MAX bytes), else "".
bool undone_find(const struct measure *measure, char *ret_sentence);

#define UNDONE_REQUESTS 10 // fewer of a kind may all be refused by chance
