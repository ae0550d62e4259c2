// A scenario: what the operations of a run are. For the n-th operation it says which request, on
// which resource, for which user. It is a pure function of plan, seed and n, so a run can be
// repeated.
//
// To add a scenario: a row in the table of scenario.c (its name, summary, resources, and what the
// n-th operation is, or the weights of its kinds). If it sends a new kind of request: a row in the
// table of request_text.c, and in that of what such an operation is.
#pragma once

#include "run/answer.h"
#include "run/resources.h"

#include <stdio.h>

struct scenario;
struct scenario_kind; // a row of the table

// What a scenario uses, which decides which flags have an effect in it.
#define USES_STOCK 1U
#define USES_COUPON 2U
#define USES_LOTTERY 4U
#define USES_TRIES 8U // the length of a run may be given in operations of each user
#define USES_MIX 16U
#define USES_TEMPLATE 32U
#define USES_POINTS 64U
#define USES_HOLDS 128U  // reservations
#define USES_ORDERS 256U // of accounts' users
#define USES_CODES 512U  // coupons' codes, one of each account's user

// NULL if there is no scenario of this name.
const struct scenario_kind *scenario_kind_find(const char *name);
const char *scenario_kind_name(const struct scenario_kind *kind);
bool scenario_kind_checkable(const struct scenario_kind *kind); // the checker understands it
unsigned scenario_kind_uses(const struct scenario_kind *kind);
int64_t scenario_kind_tries(const struct scenario_kind *kind); // the default; PLAN_UNSET: none

// The default weights of KIND_COUNT kinds. Those of weight 0 do not occur in the scenario.
const int64_t *scenario_kind_mix(const struct scenario_kind *kind);

// Lists the scenarios that use any of these (0: all of them), as "coupon, draw", always terminated.
void scenario_kinds_list(unsigned uses, char *target, size_t size);

void scenario_help(FILE *out); // a line each, and their default weights

#define TASK_MORE_MAX ANSWER_MORE_MAX // legs besides the first
#define RESERVATION_MAX 32            // bytes of a reservation's id

// One operation.
struct task {
    enum attempt_kind kind;
    size_t template;      // an index below scenario_templates()
    size_t counter;       // of its first leg: index into the history's counters, or SIZE_MAX
    const char *resource; // for the template; a transfer's receiver; owned by the scenario
    const char *owner;    // whose account it is; owned by the scenario. NULL: a shopper
    int64_t user;         // the shopper's number: "u17"
    int64_t quantity;     // units or points; 0: the kind has none
    struct attempt_leg more[TASK_MORE_MAX]; // further legs: their counters and amounts
    size_t n_more;
    // Of requests about several products (run/cart.h). "": none. order: of a rollback the
    // redemption.
    char reservation[RESERVATION_MAX + 1], order[HISTORY_TEXT_MAX + 1];
    int64_t points; // of an order
    size_t account; // of its user
    size_t code;    // of an order or a redemption: its number from 1 on; 0: none
    bool restock;   // of a refund
    bool partial;   // of a confirmation: it sells a part
};

// Names the resources. With --template, reads the file and checks that it compiles. Borrows the
// plan. False with a sentence in ret_error (HISTORY_ERROR_MAX bytes).
MUST_CHECK bool scenario_new(const struct plan *plan, struct scenario **ret_scenario,
                             char *ret_error);
void scenario_free(struct scenario *scenario); // NULL is fine

const struct plan *scenario_plan(const struct scenario *scenario); // borrowed

// Owned by the scenario.
const struct resources *scenario_resources(const struct scenario *scenario);

// The n-th operation. Any thread.
void scenario_task(const struct scenario *scenario, int64_t n, struct task *ret_task);

// The texts for template_compile.
size_t scenario_templates(const struct scenario *scenario);
const char *scenario_template(const struct scenario *scenario, size_t template);
