// The list of all strategies.
#pragma once

#include "guard/guard.h"

// All strategies, in the order of the documentation, ended by NULL.
extern const struct strategy *const strategies[];

// NULL if the name is unknown.
const struct strategy *strategy_find(const char *name);
