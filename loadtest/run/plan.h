// The plan of a run: the command line, checked, with its defaults filled in. Values only.
//
// Some defaults depend on the scenario and on each other. PLAN_UNSET stands for them until
// options_parse has filled them in; no other file sees it, except in scenario_kind_tries.
#pragma once

#include "history/history.h"
#include "report/requirement.h"
#include "run/target.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAN_UNSET INT64_C(-1)

enum arrival_kind { ARRIVAL_LATCH, ARRIVAL_CLOSED, ARRIVAL_OPEN, ARRIVAL_RAMP, ARRIVAL_KINDS };
enum key_kind { KEYS_RUN, KEYS_UUID4, KEYS_UUID7, KEY_KINDS };
enum spread_kind { SPREAD_EVEN, SPREAD_ZIPF };

#define PRIZES_MAX 16
#define PLAN_LINES_MAX 8 // of a reservation

// What the user of a reservation does next.
enum then { THEN_CONFIRM, THEN_RELEASE, THEN_EXTEND, THEN_RETURN, THEN_LEAVE, THEN_COUNT };

struct plan_prize {
    char name[33];
    int64_t quantity, weight;
};

struct plan {
    struct target targets[HISTORY_TARGETS_MAX];
    size_t n_targets;
    const char *admin_token, *client_token; // NULL: none

    // What the operations are.
    const struct scenario_kind *scenario;
    const char *template_path; // scenario "template"; "-": standard input
    const char *resource;      // a resource's name, or the prefix of several names; NULL: new ones
    bool set_up;               // create the resources
    int64_t skus, stock;       // stock: of each SKU
    int64_t accounts, balance; // balance: of each account at the beginning
    int64_t quantity;          // units or points of each operation
    enum spread_kind spread;
    double zipf_exponent;
    int64_t users, per_user_limit;
    int64_t tries; // of each user; 0: as many as the run has requests
    int64_t total; // coupons in all
    struct plan_prize prizes[PRIZES_MAX];
    size_t n_prizes;
    int64_t blank_weight;
    int64_t mix[KIND_COUNT];  // weights of the kinds
    int64_t ttl_ns, lines;    // of a reservation
    int64_t then[THEN_COUNT]; // weights
    double leave;             // share of the users of reservations who never come back; PLAN_UNSET:
                              // by the weights
    double partial;           // share of the confirmations that sell a part
    double cancel, refund;    // shares of the orders, and of the orders left by a refund
    double code;              // share of the orders with a coupon's code
    int64_t code_uses;        // of each code
    const char *strategy;     // X-Holdfast-Strategy, or NULL

    // When they begin.
    enum arrival_kind arrival;
    int64_t connections;
    int64_t requests;     // operations in all; 0: until the duration is over
    int64_t duration_ns;  // 0: until the requests are done
    double rate, rate_to; // operations a second; ramp: from rate to rate_to
    bool poisson;         // otherwise evenly spaced

    // How clients behave.
    int64_t retries;  // of one operation at most; 0: none
    double duplicate; // share of operations whose request is sent twice at once
    int64_t think_ns, timeout_ns;
    bool routed;  // a resource's operations go to one target; each has `connections` connections
    bool proxied; // a proxy before the service repeats requests
    int64_t threads;
    uint64_t seed;
    enum key_kind keys;
    char run[HISTORY_RUN_MAX + 1]; // prefix of every key and of every new resource's name

    // What is reported.
    bool check;
    bool allow_foreign;
    bool expect_refusals;                             // a run without a single 2xx may pass
    const char *history_path, *json_path, *html_path; // NULL: none
    bool quiet;                                       // no live line
    struct requirement requirements[REQUIREMENTS_MAX];
    size_t n_requirements;
};
