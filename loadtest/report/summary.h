// A run, ready to be reported. All reports are made from this. Everything is borrowed.
#pragma once

#include "check/verdict.h"
#include "measure/measure.h"
#include "report/undone.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define REQUIREMENTS_MAX 32

struct requirement_result {
    const char *text; // "p99<20ms", as given
    const char *unit; // of the value: "ms", "%", "" for a bare number; static
    double value;     // the measured value, in the requirement's unit; NaN: not measured
    bool holds;
};

struct summary_fact { // a setting of the run: "arrival" "latch, 1,000 connections"
    char name[32], value[200];
};

struct summary {
    const char *run, *scenario, *arrival;
    const char *const *targets;
    size_t n_targets;
    const struct summary_fact *facts;
    size_t n_facts;
    int64_t connections, started_at_ms;
    double duration_s; // from the first request to the last answer
    bool interrupted;  // Ctrl-C
    bool open_loop;    // latencies are from the intended start
    const struct measure *measure;
    const struct verdict *verdict; // NULL: not requested
    const char *history_path;      // NULL: not kept
    char undone[UNDONE_MAX];       // what the run was to do and did not; "": nothing
    struct requirement_result requirements[REQUIREMENTS_MAX];
    size_t n_requirements;
};
