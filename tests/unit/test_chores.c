// Tests of the queue of chores behind the sessions of etcd and ZooKeeper, without a server.
#include "guard/chores.h"

#include "suite.h"

#include <check.h>
#include <stdlib.h>

struct counted {
    struct chore chore;
    int runs, wanted; // done after this many runs
    int64_t again_ns;
};

static bool count(struct chore *chore)
{
    struct counted *counted = (struct counted *)chore;
    chore->due_ns = counted->again_ns;
    return ++counted->runs >= counted->wanted;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static struct chores none(void)
{
    return (struct chores){.mutex = &mutex, .changed = &changed};
}

static struct counted counted(int64_t due_ns, int wanted)
{
    return (struct counted){.chore = {.due_ns = due_ns, .run = count}, .wanted = wanted};
}

START_TEST(each_runs_when_it_is_due)
{
    struct chores chores = none();
    struct counted early = counted(10, 1), late = counted(20, 1);
    pthread_mutex_lock(&mutex);
    ck_assert_int_eq(chores_due(&chores), INT64_MAX);
    chores_add(&chores, &late.chore);
    chores_add(&chores, &early.chore);
    ck_assert_int_eq(chores_due(&chores), 10);
    ck_assert(!chores_run_one(&chores, 9, true, 0));
    ck_assert(chores_run_one(&chores, 10, true, 0));
    ck_assert(!chores_run_one(&chores, 10, true, 0));
    ck_assert_int_eq(early.runs, 1);
    ck_assert_int_eq(late.runs, 0);
    ck_assert(chores_run_one(&chores, 20, true, 0));
    ck_assert_int_eq(late.runs, 1);
    ck_assert_int_eq(chores_due(&chores), INT64_MAX);
    pthread_mutex_unlock(&mutex);
}
END_TEST

START_TEST(what_is_not_done_comes_again)
{
    struct chores chores = none();
    struct counted twice = counted(0, 2);
    twice.again_ns = 5;
    pthread_mutex_lock(&mutex);
    chores_add(&chores, &twice.chore);
    ck_assert(chores_run_one(&chores, 0, true, 0));
    ck_assert(!chores_run_one(&chores, 4, true, 0));
    ck_assert(chores_run_one(&chores, 5, true, 0));
    ck_assert(!chores_run_one(&chores, 99, true, 0));
    ck_assert_int_eq(twice.runs, 2);
    pthread_mutex_unlock(&mutex);
}
END_TEST

// The server is unreachable. Chores whose session has ended need no server.
START_TEST(unreachable_only_the_past_is_cleared_up)
{
    struct chores chores = none();
    struct counted now = counted(0, 1), past = counted(INT64_MAX, 1);
    now.chore.generation = 2;
    past.chore.generation = 1;
    pthread_mutex_lock(&mutex);
    chores_add(&chores, &past.chore);
    chores_add(&chores, &now.chore);
    ck_assert(chores_run_one(&chores, 0, false, 2));
    ck_assert(!chores_run_one(&chores, 0, false, 2));
    ck_assert_int_eq(past.runs, 1);
    ck_assert_int_eq(now.runs, 0);
    pthread_mutex_unlock(&mutex);
}
END_TEST

START_TEST(taken_back_it_does_not_run)
{
    struct chores chores = none();
    struct counted first = counted(0, 1), second = counted(0, 1);
    pthread_mutex_lock(&mutex);
    chores_add(&chores, &first.chore);
    chores_add(&chores, &second.chore);
    ck_assert(chores_cancel(&chores, &first.chore));
    ck_assert(!chores_cancel(&chores, &first.chore));
    ck_assert(chores_run_one(&chores, 0, true, 0));
    ck_assert(!chores_cancel(&chores, &second.chore));
    ck_assert_int_eq(first.runs, 0);
    ck_assert_int_eq(second.runs, 1);
    pthread_mutex_unlock(&mutex);
}
END_TEST

struct slow {
    struct chore chore;
    pthread_barrier_t begun, may_end;
};

static bool take_long(struct chore *chore)
{
    struct slow *slow = (struct slow *)chore;
    pthread_barrier_wait(&slow->begun);
    pthread_barrier_wait(&slow->may_end);
    return true;
}

static void *run_one(void *chores)
{
    pthread_mutex_lock(&mutex);
    ck_assert(chores_run_one(chores, 0, true, 0));
    pthread_mutex_unlock(&mutex);
    return NULL;
}

static void *let_it_end(void *slow)
{
    pthread_mutex_lock(&mutex); // unlocked once chores_cancel waits
    pthread_mutex_unlock(&mutex);
    pthread_barrier_wait(&((struct slow *)slow)->may_end);
    return NULL;
}

// chores_cancel waits while the chore runs, because the caller may free the chore afterwards.
START_TEST(taking_back_waits_for_one_that_runs)
{
    struct chores chores = none();
    struct slow slow = {.chore = {.run = take_long}};
    pthread_t runner, helper;
    pthread_barrier_init(&slow.begun, NULL, 2);
    pthread_barrier_init(&slow.may_end, NULL, 2);
    pthread_mutex_lock(&mutex);
    chores_add(&chores, &slow.chore);
    pthread_mutex_unlock(&mutex);
    ck_assert_int_eq(pthread_create(&runner, NULL, run_one, &chores), 0);
    pthread_barrier_wait(&slow.begun);
    pthread_mutex_lock(&mutex);
    ck_assert_int_eq(pthread_create(&helper, NULL, let_it_end, &slow), 0);
    ck_assert(!chores_cancel(&chores, &slow.chore));
    ck_assert_ptr_null(chores.running);
    pthread_mutex_unlock(&mutex);
    pthread_join(helper, NULL);
    pthread_join(runner, NULL);
    pthread_barrier_destroy(&slow.begun);
    pthread_barrier_destroy(&slow.may_end);
}
END_TEST

START_TEST(what_is_left_is_freed)
{
    struct chores chores = none();
    struct counted *left = malloc(sizeof *left);
    ck_assert_ptr_nonnull(left);
    *left = counted(0, 1);
    chores_add(&chores, &left->chore);
    chores_free(&chores);
    ck_assert_ptr_null(chores.first);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("chores");
    TCase *cases = tcase_create("queue");
    tcase_add_test(cases, each_runs_when_it_is_due);
    tcase_add_test(cases, what_is_not_done_comes_again);
    tcase_add_test(cases, unreachable_only_the_past_is_cleared_up);
    tcase_add_test(cases, taken_back_it_does_not_run);
    tcase_add_test(cases, taking_back_waits_for_one_that_runs);
    tcase_add_test(cases, what_is_left_is_freed);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}
