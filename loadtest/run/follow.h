// What a user does next because of an answer: the steps after a reservation.
#pragma once

#include "run/answer.h"
#include "run/scenario.h"

struct follow_up {
    struct task task;
    int64_t at_ms; // wall clock; 0: when the user has thought
};

// Whether something follows the n-th operation, and what. What the user wants is a function of seed
// and n; what the user gets depends on the answer. Any thread.
bool follow_up(const struct plan *plan, int64_t n, const struct task *task,
               const struct answer *answer, struct follow_up *ret_next);
