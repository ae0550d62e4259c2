// The flags of `holdfast-load run`, in the order of the help. To add one: an id, a row here, and in
// options_check.c what it cannot stand with.
#include "run/options_parts.h"

#include "base/text.h"
#include "run/options.h"
#include "run/scenario.h"

#include <stdio.h>

#define MS INT64_C(1000000)
#define HOUR (3600 * 1000 * MS)

// Most rows store into one member of the plan.
#define INTO(member) .offset = offsetof(struct plan, member)
#define INTEGER(member, low, high) .read = value_integer, INTO(member), .min = (low), .max = (high)
#define DURATION(member, low, high)                                                                \
    .read = value_duration, INTO(member), .min = (low), .max = (high)
#define SWITCH(member, on) .read = NULL, INTO(member), .min = (on)

const struct flag options_flags[FLAG_COUNT] = {
    [FLAG_SCENARIO] = {"--scenario", "NAME", "what operations are, see below (deduct)",
                       .read = value_scenario, .heading = "What is asked for"},
    [FLAG_TEMPLATE] = {"--template", "FILE", "a request of your own; '-' is standard input",
                       .read = value_path, INTO(template_path), .uses = USES_TEMPLATE},
    [FLAG_RESOURCE] = {"--resource", "NAME", "what is bought or drawn (new: load-RUN-1, ...)",
                       .read = value_id, INTO(resource)},
    [FLAG_NO_SETUP] = {"--no-setup", NULL, "use what exists; needs --resource",
                       SWITCH(set_up, false), .uses = USES_STOCK | USES_COUPON | USES_LOTTERY},
    [FLAG_SKUS] = {"--skus", "N", "products, NAME-1 to NAME-N if there are several (1)",
                   INTEGER(skus, 1, 100000), .uses = USES_STOCK},
    [FLAG_STOCK] = {"--stock", "N",
                    "units of each product (half of what is asked for, or a million)",
                    INTEGER(stock, 0, 1000000), .uses = USES_STOCK, .creates = true},
    [FLAG_QUANTITY] = {"--quantity", "N", "units of each deduction (1)",
                       INTEGER(quantity, 1, 1000000), .uses = USES_STOCK | USES_TEMPLATE},
    [FLAG_SPREAD] = {"--spread", "even|zipf", "all products alike, or a few hot ones (even)",
                     .read = value_spread, .uses = USES_STOCK},
    [FLAG_ZIPF] = {"--zipf", "S", "product k has a share of 1 / k^S (0.99)", .read = value_exponent,
                   INTO(zipf_exponent), .uses = USES_STOCK},
    [FLAG_USERS] = {"--users", "M", "users, who take turns (1000)", INTEGER(users, 1, 1000000000)},
    [FLAG_TRIES] = {"--tries", "K", "requests of each user (coupon 3, draw 1)",
                    INTEGER(tries, 1, 1000000), .uses = USES_TRIES},
    [FLAG_TOTAL] = {"--total", "N", "coupons in all (half the users)",
                    INTEGER(total, 0, 1000000000), .uses = USES_COUPON, .creates = true},
    [FLAG_PER_USER] = {"--per-user", "N", "coupons or draws a user may have (1)",
                       INTEGER(per_user_limit, 1, 1000000), .uses = USES_COUPON | USES_LOTTERY,
                       .creates = true},
    [FLAG_PRIZES] = {"--prizes", "LIST", "NAME:QUANTITY:WEIGHT,... (gold:1:1,silver:10:19)",
                     .read = value_prizes, .uses = USES_LOTTERY, .creates = true},
    [FLAG_BLANK] = {"--blank", "N", "weight of winning nothing (80)",
                    INTEGER(blank_weight, 0, 1000000000), .uses = USES_LOTTERY, .creates = true},
    [FLAG_MIX] = {"--mix", "LIST", "weights (deduct=60,read=15,issue=15,draw=10)",
                  .read = value_mix, .uses = USES_MIX},
    [FLAG_STRATEGY] = {"--strategy", "NAME", "for these requests only (X-Holdfast-Strategy)",
                       .read = value_id, INTO(strategy)},

    [FLAG_ARRIVAL] = {"--arrival", "KIND", "latch, closed, open or ramp, see below (closed)",
                      .read = value_arrival, .heading = "How it arrives"},
    [FLAG_CONNECTIONS] = {"--connections", "N", "kept open (64; latch: one a request, up to 1000)",
                          INTEGER(connections, 1, 100000)},
    [FLAG_REQUESTS] = {"--requests", "N", "operations in all (latch 1000)",
                       INTEGER(requests, 1, INT64_C(1000000000000))},
    [FLAG_DURATION] = {"--duration", "TIME", "as 500ms, 10s, 5m, 1h (10s)",
                       DURATION(duration_ns, MS, 30 * 24 * HOUR)},
    [FLAG_RATE] = {"--rate", "R", "operations a second: R (open) or FROM..TO (ramp)",
                   .read = value_rate},
    [FLAG_SPACING] = {"--spacing", "poisson|even", "of an open loop's starts (poisson)",
                      .read = value_spacing},

    [FLAG_RETRY] = {"--retry", "N", "tries again at most, with the same key (0)",
                    INTEGER(retries, 0, 100), .heading = "How clients behave"},
    [FLAG_DUPLICATE] = {"--duplicate", "P", "share that is sent twice at once, 0.05 or 5% (0)",
                        .read = value_share, INTO(duplicate)},
    [FLAG_THINK] = {"--think", "TIME", "pause of a user between operations (0)",
                    DURATION(think_ns, 0, HOUR)},
    [FLAG_TIMEOUT] = {"--timeout", "TIME", "for each answer (5s)", DURATION(timeout_ns, MS, HOUR)},
    [FLAG_THREADS] = {"--threads", "N", "of the load tester (1)", INTEGER(threads, 1, 64)},
    [FLAG_SEED] = {"--seed", "N", "repeats a run's choices (random)", INTEGER(seed, 0, INT64_MAX)},
    [FLAG_RUN] = {"--run", "NAME", "begins the run's keys and names (random)", .read = value_run},
    [FLAG_ADMIN_TOKEN] = {"--admin-token", "T", "or HOLDFAST_AUTH_ADMIN_TOKEN", .read = value_token,
                          INTO(admin_token)},
    [FLAG_CLIENT_TOKEN] = {"--client-token", "T", "or HOLDFAST_AUTH_CLIENT_TOKEN",
                           .read = value_token, INTO(client_token)},

    [FLAG_HISTORY] = {"--history", "FILE", "keep every request, for `holdfast-load check`",
                      .read = value_path, INTO(history_path), .heading = "What is made of it"},
    [FLAG_JSON] = {"--json", "FILE", "the report for machines", .read = value_path,
                   INTO(json_path)},
    [FLAG_HTML] = {"--html", "FILE", "the report as one page", .read = value_path, INTO(html_path)},
    [FLAG_REQUIRE] = {"--require", "EXPR", "as 'p99<20ms', repeatable; else the exit code is 1",
                      .read = value_requirement},
    [FLAG_NO_CHECK] = {"--no-check", NULL, "only measure, do not check the history",
                       SWITCH(check, false)},
    [FLAG_ALLOW_FOREIGN] = {"--allow-foreign", NULL, "others may use the same resources",
                            SWITCH(allow_foreign, true)},
    [FLAG_QUIET] = {"--quiet", NULL, "no live line", SWITCH(quiet, true)},
    [FLAG_HELP] = {"--help", NULL, "this page", .read = NULL},
};

void options_help(FILE *out)
{
    (void)fputs("Usage: holdfast-load run [URL ...] [flags]\n\n"
                "Puts load on an HTTP service, measures it, and checks that nothing was lost,\n"
                "doubled or oversold. URL: http://HOST[:PORT][/PREFIX] (http://127.0.0.1:8080);\n"
                "of several, requests go to all in turn.\n",
                out);
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        const struct flag *flag = &options_flags[i];
        char left[40];
        if (flag->heading != NULL)
            (void)fprintf(out, "\n%s (default):\n", flag->heading);
        (void)text_format(left, sizeof left, "%s %s", flag->name, flag->value ? flag->value : "");
        (void)fprintf(out, "  %-24s %s\n", left, flag->help);
    }
    (void)fputs("\nScenarios:\n", out);
    scenario_help(out);
    (void)fputs("\nArrivals:\n"
                "  latch      all connections are opened, then all are let go at one instant\n"
                "  closed     each connection has a user who waits for the answer, then goes on\n"
                "  open       operations begin by a schedule, whether or not the server keeps up\n"
                "  ramp       an open loop whose rate grows evenly over the duration\n"
                "\nRequirements:\n",
                out);
    requirement_help(out);
}
