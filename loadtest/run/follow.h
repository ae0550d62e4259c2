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

#define FOLLOW_LINES_MAX (PLAN_LINES_MAX * (RESOURCE_MAX + 48)) // bytes

// Writes the products that the task reserves, as the elements of a JSON array.
void follow_lines(const struct scenario *scenario, const struct task *task,
                  char ret_lines[FOLLOW_LINES_MAX]);

// The counters of the holds that the task's request names or that its answer has made, behind those
// of the task: their names and changes. Returns how many. The names are borrowed from `names`.
size_t follow_holds(const struct scenario *scenario, const struct task *task,
                    const struct answer *answer, char (*names)[HISTORY_COUNTER_MAX + 1],
                    struct attempt_leg *legs);
