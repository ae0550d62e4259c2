// What a run's operations use: its resources' names, and which of several an operation chooses.
#pragma once

#include "run/plan.h"

#define RESOURCE_MAX 64 // bytes of a resource's name
#define CODE_MAX 24     // bytes of a coupon's code

// Resources of which each operation chooses one.
struct resource_list {
    char (*names)[RESOURCE_MAX + 1];
    size_t n;                  // 0 if the scenario uses none
    double *cumulative_shares; // for a Zipf spread; else NULL
};

// The history's counters are, in this order: each SKU, each account, each code, the campaign, the
// lottery, the lottery's prizes.
struct resources {
    unsigned uses;
    struct resource_list skus, accounts;
    char (*codes)[CODE_MAX + 1]; // one of each account's user, which setup_resources writes
    size_t n_codes;
    char named[RESOURCE_MAX + 1]; // the campaign and lottery, or a template's {{resource}}
};

// Names n resources as the plan says. False: out of memory; the caller releases the list.
MUST_CHECK bool resource_list_init(struct resource_list *list, const struct plan *plan, int64_t n);
void resource_list_release(struct resource_list *list); // a zeroed one is fine

// The one that this random number chooses: each equally, or by the plan's Zipf spread.
size_t resource_list_pick(const struct resource_list *list, uint64_t random);
