// Opens every strategy once, whether or not an endpoint uses it now: an administrator or a request
// header may select it at any time. If a strategy cannot be opened, why_not keeps the reason.
#include "engine/guards.h"

#include "base/text.h"
#include "engine/traced.h"
#include "guard/renewal.h"
#include "guard/strategy/registry.h"
#include "metrics/metrics.h"

#include <string.h>

static size_t index_of(const struct strategy *strategy)
{
    size_t i = 0;
    while (strategies[i] != strategy)
        i++;
    return i;
}

static int64_t read_reconnects(void *arg)
{
    struct guard *guard = arg;
    return (int64_t)guard->strategy->reconnects(guard);
}

static void register_reconnects(struct guards *guards, size_t i, struct metrics *metrics)
{
    if (strategies[i]->reconnects == NULL)
        return;
    text_format(guards->labels[i], sizeof guards->labels[i], "backend=\"%s\"", strategies[i]->name);
    metrics_counter(metrics, "holdfast_reconnects_total", guards->labels[i], GUARDS_RECONNECTS_HELP,
                    read_reconnects, guards->open[i]);
}

enum rc guards_open(struct guards *guards, const struct guard_settings *settings,
                    struct store *store, struct metrics *metrics, bool lab)
{
    enum rc rc = renewal_new(settings, store, traced_renewal_event, &guards->renewal);
    if (rc != RC_OK)
        return rc;
    for (size_t i = 0; strategies[i] != NULL && i < STRATEGIES_MAX; i++) {
        if (strategies[i]->lab_only && !lab) {
            text_copy(guards->why_not[i], GUARD_ERROR_MAX,
                      "allowed in laboratory mode only; set `lab`");
            continue;
        }
        rc = guard_open(strategies[i], settings, &guards->open[i], guards->why_not[i]);
        if (rc != RC_OK)
            guards->open[i] = NULL;
        if (rc == RC_NO_MEMORY)
            return rc;
        if (guards->open[i] == NULL)
            continue;
        guards->open[i]->renewal = guards->renewal;
        register_reconnects(guards, i, metrics);
    }
    return RC_OK;
}

void guards_close(struct guards *guards)
{
    renewal_free(guards->renewal);
    guards->renewal = NULL;
    for (size_t i = 0; i < STRATEGIES_MAX; i++) {
        guard_close(guards->open[i]);
        guards->open[i] = NULL;
    }
}

struct guard *guards_find(const struct guards *guards, const struct strategy *strategy)
{
    return guards->open[index_of(strategy)];
}

// Writes the settings of all endpoints that share counters with this one, directly or through
// another endpoint. `mutex` for one of them needs `mutex` for all.
static void name_sharers(const struct endpoint_traits *endpoints, size_t n, unsigned counters,
                         char *ret_names, size_t size)
{
    size_t length = 0;
    for (size_t i = 0; i < n * n; i++)
        if ((counters & endpoints[i % n].counters) != 0)
            counters |= endpoints[i % n].counters;
    for (size_t i = 0; i < n; i++) {
        if ((counters & endpoints[i].counters) == 0)
            continue;
        text_format(ret_names + length, size - length, "%s%s.strategy", length > 0 ? ", " : "",
                    endpoints[i].name);
        length += strlen(ret_names + length);
    }
}

enum rc guards_can_mix(const struct endpoint_traits *endpoints,
                       const struct strategy *const *chosen, size_t n, char *ret_why)
{
    char sharers[GUARD_ERROR_MAX / 2] = "";
    for (size_t i = 0; i < n * n; i++) {
        const struct endpoint_traits *one = &endpoints[i / n], *two = &endpoints[i % n];
        const char *local = chosen[i / n]->name, *other = chosen[i % n]->name;
        if ((one->counters & two->counters) == 0 || chosen[i / n] == chosen[i % n] ||
            chosen[i / n]->scope == SCOPE_CLUSTER)
            continue;
        name_sharers(endpoints, n, one->counters, sharers, sizeof sharers);
        text_format(ret_why, GUARD_ERROR_MAX,
                    "%s.strategy = %s, %s.strategy = %s: both change the same counters. %s stops"
                    " only its own requests, and could overwrite a change by %s. At start, set all"
                    " of these to %s, or none: %s",
                    one->name, local, two->name, other, local, other, local, sharers);
        return RC_USAGE;
    }
    return RC_OK;
}

enum rc guards_can_use(const struct guards *guards, const struct strategy *strategy, char *ret_why)
{
    size_t i = index_of(strategy);
    if (guards->open[i] != NULL)
        return RC_OK;
    text_copy(ret_why, GUARD_ERROR_MAX, guards->why_not[i]);
    return RC_USAGE;
}
