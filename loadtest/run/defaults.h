// The defaults of a plan.
#pragma once

#include "run/plan.h"

// Those that depend on nothing. PLAN_UNSET stands for the others.
void defaults_set(struct plan *plan);

// Fills in those that depend on one another, and the weights of the kinds unless `mix_given`. False
// with a sentence in ret_error (HISTORY_ERROR_MAX bytes) if they contradict what was given.
MUST_CHECK bool defaults_complete(struct plan *plan, bool mix_given, char *ret_error);
