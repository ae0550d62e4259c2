// Requests about several products: reservations, orders, and their next steps. What their bodies
// are, and which counters they name.
#pragma once

#include "run/answer.h"
#include "run/scenario.h"

#define CART_BODY_MAX (320 + PLAN_LINES_MAX * (RESOURCE_MAX + 48)) // bytes
#define CART_LEGS_MAX (2 * PLAN_LINES_MAX + 2) // products, an account, a code, the products' holds

// Writes the JSON body of the task's request; "" if the task is about one counter. `user` is a
// plain id.
void cart_body(const struct scenario *scenario, const struct task *task, const char *user,
               char ret_body[CART_BODY_MAX]);

// Room for what a described attempt borrows.
struct cart_room {
    struct attempt_leg legs[CART_LEGS_MAX];
    char names[PLAN_LINES_MAX + 1][HISTORY_COUNTER_MAX + 1];
};

// Sets the counters, quantity and further legs of an attempt at this task, with the numbers of its
// answer. Any task.
void cart_describe(const struct scenario *scenario, const struct task *task,
                   const struct answer *answer, struct cart_room *room,
                   struct attempt *ret_attempt);
