// Tests of the tenure: when a section stays inside its lock for another round.
#include "engine/tenure.h"

#include "base/clock.h"
#include "engine/section.h"
#include "engine/section_state.h"

#include "suite.h"

#include <check.h>
#include <stdlib.h>

static bool held;
static size_t mine, others, looks, arrive_after;

static bool fake_held(struct guard *guard, const struct guard_hold *hold)
{
    (void)guard, (void)hold;
    return held;
}

static size_t fake_queued(void *arg, size_t *ret_others)
{
    (void)arg;
    *ret_others = others;
    return ++looks > arrive_after ? mine : 0;
}

static struct strategy strategy;
static struct guard guard = {.strategy = &strategy};
static struct section *section;
static struct section_source source;

static void begin(void)
{
    strategy = (struct strategy){.scope = SCOPE_CLUSTER, .may_keep = true, .held = fake_held};
    section = calloc(1, sizeof *section);
    section->settings.tenure_ms = 10000;
    section->scope.guard = &guard;
    section->entered = true;
    section->hold.hold.entered_ns = clock_now_ns();
    section->hold.hold.expires_ns = INT64_MAX;
    source = (struct section_source){.queued = fake_queued};
    held = true;
    mine = 5;
    others = looks = arrive_after = 0;
}

static void end(void)
{
    free(section);
}

START_TEST(it_goes_on_while_most_jobs_are_its_own)
{
    ck_assert(tenure_goes_on(section, &source, 1));
    others = 5;
    ck_assert(tenure_goes_on(section, &source, 1));
    others = 6;
    ck_assert(!tenure_goes_on(section, &source, 1));
}
END_TEST

START_TEST(it_waits_a_moment_after_a_round_of_several_jobs)
{
    arrive_after = 3;
    ck_assert(!tenure_goes_on(section, &source, 1));
    ck_assert_uint_eq(looks, 1);
    ck_assert(tenure_goes_on(section, &source, 2));
    ck_assert_uint_eq(looks, 4);
    looks = 0, arrive_after = SIZE_MAX;
    int64_t from_ns = clock_now_ns();
    ck_assert(!tenure_goes_on(section, &source, 2));
    ck_assert_int_lt(clock_now_ns() - from_ns, NS_PER_S);
    others = 1; // another job could run
    looks = 0;
    ck_assert(!tenure_goes_on(section, &source, 2));
    ck_assert_uint_eq(looks, 1);
}
END_TEST

START_TEST(a_lost_lock_ends_it)
{
    held = false;
    ck_assert(!tenure_goes_on(section, &source, 2));
    held = true;
    section->hold.hold.expires_ns = clock_now_ns() - 1;
    ck_assert(!tenure_goes_on(section, &source, 2));
    section->hold.hold.expires_ns = INT64_MAX;
    ck_assert(tenure_goes_on(section, &source, 2));
}
END_TEST

START_TEST(a_round_that_went_wrong_ends_it)
{
    section->disturbed = true;
    ck_assert(!tenure_goes_on(section, &source, 2));
    section->disturbed = false, section->blocked = true;
    ck_assert(!tenure_goes_on(section, &source, 2));
    section->blocked = false, section->n_returned = 1;
    ck_assert(!tenure_goes_on(section, &source, 2));
    section->n_returned = 0, section->entered = false;
    ck_assert(!tenure_goes_on(section, &source, 2));
    section->entered = true;
    ck_assert(tenure_goes_on(section, &source, 2));
}
END_TEST

START_TEST(it_ends_by_time)
{
    section->hold.hold.entered_ns -= 10001 * NS_PER_MS;
    ck_assert(!tenure_goes_on(section, &source, 2));
    section->hold.hold.entered_ns += 5000 * NS_PER_MS;
    ck_assert(tenure_goes_on(section, &source, 2));
}
END_TEST

START_TEST(not_every_guard_is_kept)
{
    strategy.may_keep = false;
    ck_assert(!tenure_goes_on(section, &source, 2));
    strategy.may_keep = true;
    section->settings.tenure_ms = 0;
    ck_assert(!tenure_goes_on(section, &source, 2));
    section->settings.tenure_ms = 10000;
    source.queued = NULL; // direct mode
    ck_assert(!tenure_goes_on(section, &source, 2));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tenure");
    TCase *tenure = suite_case(suite, "tenure", 10);
    tcase_add_checked_fixture(tenure, begin, end);
    tcase_add_test(tenure, it_goes_on_while_most_jobs_are_its_own);
    tcase_add_test(tenure, it_waits_a_moment_after_a_round_of_several_jobs);
    tcase_add_test(tenure, a_lost_lock_ends_it);
    tcase_add_test(tenure, a_round_that_went_wrong_ends_it);
    tcase_add_test(tenure, it_ends_by_time);
    tcase_add_test(tenure, not_every_guard_is_kept);
    return suite_run(suite);
}
