// Figures that several reports show, and how they are written.
#pragma once

#include "measure/measure.h"

#define FIGURE_TEXT_MAX 32 // bytes of a formatted figure

struct figure_quantile {
    const char *name; // "p99.9"
    double quantile;
};

#define FIGURE_QUANTILES 6
extern const struct figure_quantile figure_quantiles[FIGURE_QUANTILES]; // p50 to p99.99

int64_t figures_answered(const struct measure *measure); // requests with an HTTP status
int64_t figures_ended(const struct measure *measure);    // ok, refused and errors
double figures_rate(int64_t count, double seconds);      // per second; 0 if no time passed

// "1,234,567"
const char *figures_count(char text[FIGURE_TEXT_MAX], int64_t count);
// Three digits with their unit: "87.0 us", "4.10 ms", "1.82 s".
const char *figures_duration(char text[FIGURE_TEXT_MAX], double duration_ns);
