// Between the files of the scenario: what scenario.c makes and scenario_setup.c fills.
#pragma once

#include "run/scenario.h"

#define RESOURCE_MAX 64 // bytes of a resource's name

struct scenario {
    const struct plan *plan;
    unsigned uses;
    char (*skus)[RESOURCE_MAX + 1];
    size_t n_skus;                // 0 if it uses no stock
    char other[RESOURCE_MAX + 1]; // the campaign, the lottery, or a template's {{resource}}
    double *popularity;           // cumulative, for a Zipf spread; else NULL
    int64_t mix_total;
    char *text;                       // of the template
    struct history_counter *counters; // the head's
    size_t n_counters;
};

// Where a resource's counter stands in the head.
size_t scenario_coupon_counter(const struct scenario *scenario);
size_t scenario_lottery_counter(const struct scenario *scenario);
