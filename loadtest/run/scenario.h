// What is asked of the service: a scenario says for the n-th operation of a run what it is, on
// which resource, for which user. A pure function of plan, seed and n, so a run can be repeated.
//
// To add a scenario: one row in the table of scenario.c (its name, summary, resources, and what the
// n-th operation is), and, where it sends a new kind of request, one row in the table of requests.
#pragma once

#include "run/plan.h"

struct http;
struct scenario;

struct scenario_kind; // a row of the table

// What a scenario has, and with it which flags mean something to it.
#define USES_STOCK 1U
#define USES_COUPON 2U
#define USES_LOTTERY 4U
#define USES_TRIES 8U // the length of a run can be told in tries of each user
#define USES_MIX 16U
#define USES_TEMPLATE 32U

// NULL if there is none of this name.
const struct scenario_kind *scenario_kind_find(const char *name);
const char *scenario_kind_name(const struct scenario_kind *kind);
bool scenario_kind_checkable(const struct scenario_kind *kind); // the checker understands it
unsigned scenario_kind_uses(const struct scenario_kind *kind);
int64_t scenario_kind_tries(const struct scenario_kind *kind); // of a user; PLAN_OPEN: no matter

// The names of the scenarios that use any of these (0: of all), as "coupon, draw", always
// terminated.
void scenario_kinds_list(unsigned uses, char *target, size_t size);

void scenario_help(FILE *out); // a line each

// What one operation is.
struct task {
    enum attempt_kind kind;
    size_t request;       // which template: an index below scenario_requests()
    size_t counter;       // index into the head's counters, or SIZE_MAX
    const char *resource; // for the template; owned by the scenario
    int64_t user;         // the user's number: "u17"
    int64_t quantity;     // HISTORY_NONE where it has none
};

// Names the resources. Reads the template's file if there is one and checks that it compiles.
// Borrows the plan. False with a sentence in ret_error (HISTORY_ERROR_MAX bytes).
MUST_CHECK bool scenario_new(const struct plan *plan, struct scenario **ret_scenario,
                             char *ret_error);
void scenario_free(struct scenario *scenario); // NULL is fine

// Creates the resources if the plan says so, and reads what they are before the run into the head's
// counters (owned by the scenario): stock, then coupons, lotteries, prizes. Reading a prize's
// version needs the administrator's token, unless its lottery is new. Once.
MUST_CHECK bool scenario_set_up(struct scenario *scenario, struct http *http,
                                struct history_head *head, char *ret_error);

// The n-th operation. Any thread.
void scenario_task(const struct scenario *scenario, int64_t n, struct task *ret_task);

// The text for template_compile of each kind of request.
size_t scenario_requests(const struct scenario *scenario);
const char *scenario_request(const struct scenario *scenario, size_t request);
