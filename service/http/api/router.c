// The table of routes, searched from the top. The hot routes stand first: comparing a path with two
// dozen short prefixes costs less than a search structure. api/lint.py reads this table too, one
// route a line.
//
// What breaks it: a pattern with two parameters, or a parameter that can be empty.
#include "http/api/router.h"

#include "http/api/handlers.h"
#include "http/call.h"

#include <string.h>

#define KEYED (ROUTE_BODY | ROUTE_KEY)
#define KEYED_CODE (ROUTE_BODY | ROUTE_KEY | ROUTE_CODE)
#define EDIT (ROUTE_BODY | ROUTE_TAGGED)

// Query parameters, at most PARAMETERS_MAX for a route.
static const char *const changes_wait[] = {"counters", "after", "limit", "wait_ms", NULL};
static const char *const item_page[] = {"after", "limit", NULL};
static const char *const stock_item[] = {"include", NULL};
static const char *const reservation_page_of[] = {"user_id", "state", "after", "limit", NULL};
static const char *const run_watch[] = {"after", "limit", "wait_ms", NULL};
static const char *const ledger_page[] = {"counter", "after_version", "limit", NULL};

// clang-format off
static const struct route routes[] = {
    {METHOD_POST, "/v1/stock/{sku}/deduct",         "deduct",         CALLER_CLIENT, KEYED,            stock_deduct_prepare,   NULL,               stock_change_answer,     true,  NULL},
    {METHOD_POST, "/v1/coupons/{campaign}/issue",   "issue",          CALLER_CLIENT, KEYED,            coupon_issue_prepare,   NULL,               coupon_issue_answer,     true,  NULL},
    {METHOD_POST, "/v1/lotteries/{lottery}/draw",   "draw",           CALLER_CLIENT, KEYED,            lottery_draw_prepare,   NULL,               lottery_draw_answer,     true,  NULL},
    {METHOD_POST, "/v1/points/{user}/earn",         "earn",           CALLER_CLIENT, KEYED,            points_earn_prepare,    NULL,               points_change_answer,    true,  NULL},
    {METHOD_POST, "/v1/points/{user}/spend",        "spend",          CALLER_CLIENT, KEYED,            points_spend_prepare,   NULL,               points_change_answer,    true,  NULL},
    {METHOD_POST, "/v1/points/transfers",           "transfer",       CALLER_CLIENT, KEYED,            points_transfer_prepare, NULL,              points_transfer_answer,  true,  NULL},
    {METHOD_POST, "/v1/reservations",               "reserve",        CALLER_CLIENT, KEYED,            reservation_reserve_prepare, NULL,          reservation_reserve_answer, true, NULL},
    {METHOD_POST, "/v1/reservations/{reservation}/confirm", "confirm", CALLER_CLIENT, KEYED,           reservation_confirm_prepare, reservation_find_run, reservation_change_answer, true, NULL},
    {METHOD_POST, "/v1/reservations/{reservation}/release", "release", CALLER_CLIENT, KEYED,           reservation_release_prepare, reservation_find_run, reservation_change_answer, true, NULL},
    {METHOD_POST, "/v1/reservations/{reservation}/extend", "extend",  CALLER_CLIENT, KEYED,            reservation_extend_prepare, reservation_find_run, reservation_change_answer, true, NULL},
    {METHOD_GET,  "/v1/reservations",               "list-reservations", CALLER_CLIENT, 0,             reservation_list_prepare, reservation_list_run, NULL,                  false, reservation_page_of},
    {METHOD_GET,  "/v1/reservations/{reservation}", "get-reservation", CALLER_CLIENT, 0,               NULL,                   reservation_get_run, NULL,                   false, NULL},
    {METHOD_POST, "/v1/orders",                     "order",          CALLER_CLIENT, KEYED,            order_place_prepare,    order_find_run,     order_place_answer,      true,  NULL},
    {METHOD_POST, "/v1/orders/{order}/cancel",      "cancel",         CALLER_CLIENT, KEYED,            order_cancel_prepare,   order_refund_run,   order_refund_answer,     true,  NULL},
    {METHOD_POST, "/v1/orders/{order}/refunds",     "refund",         CALLER_CLIENT, KEYED,            order_refund_prepare,   order_refund_run,   order_refund_answer,     true,  NULL},
    {METHOD_GET,  "/v1/orders/{order}",             "get-order",      CALLER_CLIENT, ROUTE_TAGGED,     NULL,                   order_get_run,      NULL,                    false, NULL},
    {METHOD_POST, "/v1/coupons/validate",           "validate",       CALLER_CLIENT, ROUTE_BODY,       coupon_validate_prepare, coupon_validate_run, NULL,                  false, NULL},
    {METHOD_POST, "/v1/coupons/redeem",             "redeem",         CALLER_CLIENT, KEYED,            coupon_redeem_prepare,  coupon_redeem_run,  redemption_answer,       true,  NULL},
    {METHOD_GET,  "/v1/coupons/codes/{code}",       "get-code",       CALLER_CLIENT, ROUTE_CODE,       NULL,                   code_get_run,       NULL,                    false, NULL},
    {METHOD_POST, "/v1/redemptions/{redemption}/rollback", "rollback", CALLER_CLIENT, KEYED_CODE,      redemption_rollback_prepare, redemption_rollback_run, redemption_answer, true, NULL},
    {METHOD_GET,  "/v1/points/{user}",              "get-points",     CALLER_CLIENT, ROUTE_TAGGED,     NULL,                   points_get_run,     NULL,                    false, NULL},
    {METHOD_POST, "/v1/stock/{sku}/restock",        "restock",        CALLER_ADMIN,  KEYED,            stock_restock_prepare,  NULL,               stock_change_answer,     true,  NULL},
    {METHOD_GET,  "/v1/stock/{sku}",                "get-stock",      CALLER_CLIENT, ROUTE_TAGGED,     stock_get_prepare,      stock_get_run,      NULL,                    false, stock_item},
    {METHOD_PUT,  "/v1/stock/{sku}",                "put-stock",      CALLER_ADMIN,  EDIT,             stock_put_prepare,      stock_put_run,      NULL,                    false, NULL},
    {METHOD_PATCH, "/v1/stock/{sku}",               "patch-stock",    CALLER_ADMIN,  EDIT,             stock_patch_prepare,    stock_put_run,      NULL,                    false, NULL},
    {METHOD_GET,  "/v1/stock",                      "list-stock",     CALLER_CLIENT, 0,                page_prepare,           stock_list_run,     NULL,                    false, item_page},
    {METHOD_GET,  "/v1/coupons/{campaign}",         "get-coupon",     CALLER_CLIENT, ROUTE_TAGGED,     NULL,                   coupon_get_run,     NULL,                    false, NULL},
    {METHOD_PUT,  "/v1/coupons/{campaign}",         "put-coupon",     CALLER_ADMIN,  EDIT,             coupon_put_prepare,     coupon_put_run,     NULL,                    false, NULL},
    {METHOD_GET,  "/v1/coupons",                    "list-coupons",   CALLER_CLIENT, 0,                page_prepare,           coupon_list_run,    NULL,                    false, item_page},
    {METHOD_GET,  "/v1/lotteries/{lottery}",        "get-lottery",    CALLER_CLIENT, ROUTE_TAGGED,     NULL,                   lottery_get_run,    NULL,                    false, NULL},
    {METHOD_PUT,  "/v1/lotteries/{lottery}",        "put-lottery",    CALLER_ADMIN,  EDIT,             lottery_put_prepare,    lottery_put_run,    NULL,                    false, NULL},
    {METHOD_GET,  "/v1/lotteries",                  "list-lotteries", CALLER_CLIENT, 0,                page_prepare,           lottery_list_run,   NULL,                    false, item_page},
    {METHOD_GET,  "/v1/changes",                    "changes",        CALLER_CLIENT, 0,                changes_prepare,        NULL,               changes_answer,          false, changes_wait},
    {METHOD_GET,  "/v1/ledger",                     "list-ledger",    CALLER_ADMIN,  0,                ledger_list_prepare,    ledger_list_run,    NULL,                    false, ledger_page},
    {METHOD_POST, "/v1/reconciliation",             "reconcile",      CALLER_ADMIN,  ROUTE_BACKGROUND, NULL,                   reconciliation_run, NULL,                    false, NULL},
    {METHOD_GET,  "/v1/strategies",                 "get-strategies", CALLER_CLIENT, 0,                NULL,                   strategies_get_run, NULL,                    false, NULL},
    {METHOD_PUT,  "/v1/strategies/{endpoint}",      "put-strategy",   CALLER_ADMIN,  ROUTE_BODY,       strategies_put_prepare, strategies_put_run, NULL,                    false, NULL},
    {METHOD_GET,  "/livez",                         "livez",          CALLER_OPEN,   0,                NULL,                   NULL,               health_live_answer,      false, NULL},
    {METHOD_GET,  "/readyz",                        "readyz",         CALLER_OPEN,   0,                NULL,                   NULL,               health_ready_answer,     false, NULL},
    {METHOD_GET,  "/metrics",                       "metrics",        CALLER_OPEN,   0,                NULL,                   NULL,               health_metrics_answer,   false, NULL},
    {METHOD_GET,  "/openapi.yaml",                  "openapi",        CALLER_OPEN,   0,                NULL,                   NULL,               document_openapi_answer, false, NULL},
    {METHOD_GET,  "/problems/{slug}",               "problem",        CALLER_OPEN,   0,                NULL,                   NULL,               document_problem_answer, false, NULL},
    {METHOD_GET,  "/v1/lab/runs",                   "list-lab-runs",  CALLER_CLIENT, ROUTE_LAB,        NULL,                   NULL,               lab_list_answer,         false, NULL},
    {METHOD_POST, "/v1/lab/runs",                   "start-lab-run",  CALLER_CLIENT, ROUTE_BODY | ROUTE_LAB, lab_start_prepare, NULL,             lab_start_answer,        false, NULL},
    {METHOD_GET,  "/v1/lab/runs/{run}",             "watch-lab-run",  CALLER_CLIENT, ROUTE_LAB,        lab_watch_prepare,      NULL,               lab_watch_answer,        false, run_watch},
    {METHOD_POST, "/v1/lab/runs/{run}/step",        "step-lab-run",   CALLER_CLIENT, ROUTE_BODY | ROUTE_LAB, lab_step_prepare,  NULL,             lab_run_answer,          false, NULL},
    {METHOD_DELETE, "/v1/lab/runs/{run}",           "cancel-lab-run", CALLER_CLIENT, ROUTE_LAB,        lab_cancel_prepare,     NULL,               lab_run_answer,          false, NULL},
    {METHOD_POST, "/v1/lab/empty",                  "empty",          CALLER_CLIENT, ROUTE_BODY | ROUTE_LAB, lab_empty_prepare, NULL,          lab_empty_answer,        false, NULL},
    {METHOD_GET,  "/",                              "page",           CALLER_OPEN,   ROUTE_TAGGED,     NULL,                   NULL,               pages_answer,            false, NULL},
    {METHOD_GET,  "/shop",                          "page",           CALLER_OPEN,   ROUTE_TAGGED,     NULL,                   NULL,               pages_answer,            false, NULL},
    {METHOD_GET,  "/lab",                           "page",           CALLER_OPEN,   ROUTE_TAGGED,     NULL,                   NULL,               pages_answer,            false, NULL},
    {METHOD_GET,  "/docs",                          "page",           CALLER_OPEN,   ROUTE_TAGGED,     NULL,                   NULL,               pages_answer,            false, NULL},
    {METHOD_GET,  "/guide",                         "page",           CALLER_OPEN,   ROUTE_TAGGED,     NULL,                   NULL,               pages_answer,            false, NULL},
    {METHOD_GET,  "/guide/{page}",                  "page",           CALLER_OPEN,   ROUTE_TAGGED,     NULL,                   NULL,               pages_answer,            false, NULL},
    {METHOD_GET,  "/web/{file}",                    "page",           CALLER_OPEN,   ROUTE_TAGGED,     NULL,                   NULL,               pages_answer,            false, NULL},
};
// clang-format on

// A parameter's text in the path, and its name in the pattern.
struct match {
    struct slice value, name;
};

static bool matches(const char *pattern, const char *path, struct match *ret_match)
{
    const char *open = strchr(pattern, '{');
    if (open == NULL)
        return strcmp(pattern, path) == 0;
    size_t prefix = (size_t)(open - pattern);
    if (strncmp(pattern, path, prefix) != 0)
        return false;
    const char *close = strchr(open, '}');
    const char *value = path + prefix;
    size_t length = strcspn(value, "/");
    if (length == 0 || strcmp(value + length, close + 1) != 0)
        return false;
    ret_match->value = (struct slice){value, length};
    ret_match->name = (struct slice){open + 1, (size_t)(close - open - 1)};
    return true;
}

static enum rc read_id(struct call *call, const struct match *match)
{
    if (match->value.text == NULL)
        return RC_OK;
    bool fits = call_decode(call->id, sizeof call->id, match->value.text, match->value.length);
    bool is_code = (call->route->flags & ROUTE_CODE) != 0;
    if (fits && (is_code ? id_is_code : id_is_valid)(call->id, strlen(call->id)))
        return RC_OK;
    char name[32];
    text_format(name, sizeof name, "%.*s", (int)match->name.length, match->name.text);
    return problem_field(&call->problem, RC_INVALID_FIELD, name,
                         "1 to %d of A-Z a-z 0-9 . _ : -%s in the path", ID_MAX,
                         is_code ? " * ~ $ =" : "");
}

enum rc router_find(struct call *call, bool lab)
{
    enum method method = call->method == METHOD_HEAD ? METHOD_GET : call->method;
    unsigned allow = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(routes); i++) {
        const struct route *route = &routes[i];
        struct match match = {0};
        if (((route->flags & ROUTE_LAB) != 0 && !lab) ||
            !matches(route->pattern, call->target.data, &match))
            continue;
        if (route->method == method) {
            call->route = route;
            return read_id(call, &match);
        }
        allow |= route->method;
    }
    if (allow == 0)
        return problem_set(&call->problem, RC_NOT_FOUND, "No such path.");
    call->allow = (allow & METHOD_GET) != 0 ? allow | METHOD_HEAD : allow;
    return problem_set(&call->problem, RC_METHOD_NOT_ALLOWED,
                       "This path does not support the method; see the Allow header.");
}

static bool knows(const struct route *route, const char *name)
{
    for (size_t i = 0; route->parameters != NULL && route->parameters[i] != NULL; i++) {
        if (strcmp(route->parameters[i], name) == 0)
            return true;
    }
    return false;
}

enum rc router_read_query(struct call *call)
{
    char *name, *value;
    while (call_next_parameter(call, &name, &value)) {
        struct slice slice = {name, strlen(name)};
        if (!strict_is_token(slice))
            return problem_set(&call->problem, RC_UNKNOWN_FIELD,
                               "The query has an unknown parameter.");
        if (!knows(call->route, name))
            return problem_field(&call->problem, RC_UNKNOWN_FIELD, name, "%s", "");
        if (call_parameter(call, name) != NULL)
            return problem_field(&call->problem, RC_INVALID_FIELD, name, "given once");
        call->parameters[call->n_parameters++] = (struct parameter){name, value};
    }
    return call->problem.rc;
}
