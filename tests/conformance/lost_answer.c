#include "lost_answer.h"

#include "base/clock.h"
#include "proxy.h"

#include <check.h>

static void deafen(void *arg, const struct paused *paused)
{
    struct lost_answer *lost = arg;
    if (paused->point != PAUSE_BEFORE_COMMIT)
        return;
    pthread_mutex_lock(&lost->gate.mutex);
    if (lost->armed && lost->gate.arrived++ == 0)
        proxy_swallow_answers(lost->fixture.proxy, true);
    pthread_cond_broadcast(&lost->gate.changed);
    pthread_mutex_unlock(&lost->gate.mutex);
}

bool lost_answer_open(struct lost_answer *lost, int i)
{
    struct scenario scenario = scenario_at(i);
    if (scenario.engine != DB_MYSQL || scenario.strategy->scope < SCOPE_PROCESS)
        return false;
    lost->armed = false;
    gate_init(&lost->gate, PAUSE_BEFORE_COMMIT, SIZE_MAX);
    struct fixture_options options = {.strategy = scenario.strategy,
                                      .engine = scenario.engine,
                                      .instances = 1,
                                      .max_batch = scenario.max_batch,
                                      .through_proxy = true,
                                      .hooks = {{deafen, lost}}};
    return fixture_open(&lost->fixture, &options);
}

void lost_answer_submit(struct lost_answer *lost, struct volley *volley, const char *counter,
                        int64_t version)
{
    struct fixture *fixture = &lost->fixture;
    pthread_mutex_lock(&lost->gate.mutex);
    lost->armed = true;
    pthread_mutex_unlock(&lost->gate.mutex);
    volley_submit(volley, fixture->instances[0].engine, 0);
    gate_wait_for_arrival(&lost->gate);
    for (int i = 0; i < 500 && fixture_counter(fixture, counter).version != version; i++)
        clock_sleep_ns(10 * NS_PER_MS);
    ck_assert_int_eq(fixture_counter(fixture, counter).version, version); // committed,
    ck_assert(!volley_wait_for(volley, 1, 0));                            // and not yet answered
    proxy_freeze(fixture->proxy); // the rest of the answer is lost too
    proxy_swallow_answers(fixture->proxy, false);
    proxy_cut(fixture->proxy);
    volley_wait(volley);
}
