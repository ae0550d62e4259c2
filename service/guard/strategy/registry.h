// The strategies that this program knows.
#pragma once

#include "guard/guard.h"

// All strategies, in the order of the documentation, ended by NULL.
extern const struct strategy *const strategies[];

// NULL if there is none of this name.
const struct strategy *strategy_find(const char *name);
