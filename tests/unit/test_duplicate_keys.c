// Deferred duplicates: against a plain search, on random jobs.
#include "engine/duplicate_keys.h"

#include "base/text.h"
#include "domain/operation.h"
#include "engine/job.h"

#include "suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define JOBS 1024

static struct operation operations[JOBS];
static struct job all[JOBS];

static bool has_earlier(size_t i)
{
    for (size_t j = 0; j < i; j++) {
        if (strcmp(operations[j].request_key, operations[i].request_key) == 0)
            return true;
    }
    return false;
}

// The first job of each key stays, the others are deferred, both in order of arrival.
static void check(size_t n, int n_keys)
{
    struct job *jobs[JOBS], *deferred[JOBS], *scratch[JOBS];
    size_t n_deferred, at[2] = {0};
    for (size_t i = 0; i < n; i++) {
        text_format(operations[i].request_key, sizeof operations[i].request_key, "key-%d",
                    rand() % n_keys);
        all[i].operation = &operations[i];
        jobs[i] = &all[i];
    }
    size_t stay = duplicate_keys_defer(jobs, n, deferred, scratch, &n_deferred);
    ck_assert_uint_eq(stay + n_deferred, n);
    for (size_t i = 0; i < n; i++) {
        bool earlier = has_earlier(i);
        ck_assert_ptr_eq((earlier ? deferred : jobs)[at[earlier]++], &all[i]);
    }
}

START_TEST(the_first_of_each_key_stays)
{
    srand(1);
    check(1, 1);
    check(JOBS, 1);
    check(JOBS, 1000000000);
    for (int i = 0; i < 200; i++)
        check((size_t)(1 + rand() % 60), 1 + rand() % 60);
    check(JOBS, JOBS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("duplicate_keys");
    TCase *cases = tcase_create("defer");
    tcase_add_test(cases, the_first_of_each_key_stays);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}
