// What a run is to do: the command line, checked and with its defaults filled in. Values only.
//
// Some defaults depend on the scenario and on each other; PLAN_OPEN stands for them until
// options_parse calls plan_complete, and nobody else sees it.
#pragma once

#include "history/history.h"
#include "report/requirement.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum arrival_kind { ARRIVAL_LATCH, ARRIVAL_CLOSED, ARRIVAL_OPEN, ARRIVAL_RAMP };
enum spread_kind { SPREAD_EVEN, SPREAD_ZIPF };

struct target {
    const char *url;     // as given
    char host[200];      // for connecting: a name or an address without brackets
    char authority[220]; // for the Host field
    char prefix[256];    // of the path, "" or "/shop": stands before every path of the scenario
    int port;
};

#define PRIZES_MAX 16

struct plan_prize {
    char name[33];
    int64_t quantity, weight;
};

struct plan {
    struct target targets[HISTORY_TARGETS_MAX];
    size_t n_targets;
    const char *admin_token, *client_token; // NULL: none

    // What is asked for.
    const struct scenario_kind *scenario;
    const char *template_path; // scenario "template"; "-": standard input
    const char *resource; // name of the resource, or the beginning of several names; NULL: new ones
    bool set_up;          // create the resources
    int64_t skus, stock, quantity; // stock: of each SKU
    enum spread_kind spread;
    double zipf_exponent;
    int64_t users, per_user_limit;
    int64_t tries; // of each user; 0: as many as the run has requests
    int64_t total; // coupons in all
    struct plan_prize prizes[PRIZES_MAX];
    size_t n_prizes;
    int64_t blank_weight;
    int64_t mix[KIND_COUNT]; // scenario "mixed": weights
    const char *strategy;    // X-Holdfast-Strategy, or NULL

    // How it arrives.
    enum arrival_kind arrival;
    int64_t connections;
    int64_t requests;     // operations in all; 0: until the duration is over
    int64_t duration_ns;  // 0: until the requests are done
    double rate, rate_to; // a second; ramp: from rate to rate_to
    bool poisson;         // else evenly spaced

    // How clients behave.
    int64_t retries;  // of one operation at most; 0: none
    double duplicate; // share of operations whose request is sent twice at once
    int64_t think_ns, timeout_ns;
    int64_t threads;
    uint64_t seed;
    char run[HISTORY_RUN_MAX + 1]; // begins every key and every new resource's name

    // What is made of it.
    bool check;
    bool allow_foreign;
    const char *history_path, *json_path, *html_path; // NULL: none
    bool quiet;                                       // no live line
    struct requirement requirements[REQUIREMENTS_MAX];
    size_t n_requirements;
};

#define PLAN_OPEN INT64_C(-1)

// Fills stock, tries, total, connections, requests and duration where they are open. False with a
// sentence in ret_error (HISTORY_ERROR_MAX bytes) if what then stands together does not fit.
MUST_CHECK bool plan_complete(struct plan *plan, char *ret_error);
