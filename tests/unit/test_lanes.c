// Tests of the lanes: order of arrival over several counters, picks that grow, quotas, expiry and
// return; by example and by property against a model that searches.
#include "base/random.h"
#include "base/text.h"
#include "engine/job.h"
#include "engine/lanes.h"
#include "engine/queue.h"

#include "suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define COUNTERS 6
#define JOBS 40
#define LEGS 3

static struct guard guards[2];
static struct lanes lanes;
static const struct lanes_budget plenty = {.jobs = 256, .legs = 1024, .lanes = 256};

struct request {
    struct job job;
    struct operation operation;
    struct leg more[LEGS - 1];
    struct job_link links[LEGS - 1];
};

static enum rc no_enter(struct guard *guard, struct db *db, const char *const *keys, size_t n_keys,
                        int64_t deadline_ns, struct guard_hold *ret_hold)
{
    (void)guard, (void)db, (void)keys, (void)n_keys, (void)deadline_ns, (void)ret_hold;
    return RC_INTERNAL;
}

// A request on these counters, one letter each.
static void request(struct request *self, const char *counters)
{
    *self = (struct request){.job = {.deadline_ns = INT64_MAX}};
    self->job.operation = &self->operation;
    self->job.more_links = self->links;
    self->operation.more = self->more;
    self->operation.n_more = strlen(counters) - 1;
    for (size_t i = 0; counters[i] != '\0'; i++) {
        struct leg *leg = operation_leg(&self->operation, i);
        text_format(leg->counter, sizeof leg->counter, "stock/%c", counters[i]);
    }
}

static bool push(struct request *self, const char *counters)
{
    bool became_ready = false;
    request(self, counters);
    ck_assert(lanes_push(&lanes, &guards[0], &self->job, &became_ready));
    return became_ready;
}

static size_t take(struct pick *pick, struct job **ret_jobs)
{
    return lanes_take(&lanes, pick, INT64_MAX, &plenty, ret_jobs);
}

// The picked lanes' letters.
static const char *picked(const struct pick *pick)
{
    static char letters[GUARD_KEYS_MAX + 1];
    for (size_t i = 0; i < pick->n; i++)
        letters[i] = pick->keys[i][strlen("stock/")];
    letters[pick->n] = '\0';
    return letters;
}

START_TEST(a_request_waits_in_each_of_its_lanes)
{
    struct request one, two, three;
    struct pick first, second;
    struct job *jobs[JOBS];
    ck_assert(push(&one, "A"));
    ck_assert(!push(&two, "BA"));  // behind one
    ck_assert(!push(&three, "B")); // behind two
    struct lanes_budget single = {.jobs = 1, .legs = 64, .lanes = 256};
    lanes_pick(&lanes, &single, &first);
    ck_assert_str_eq(picked(&first), "A");
    ck_assert(!lanes_ready(&lanes)); // B's first also needs A
    ck_assert_uint_eq(take(&first, jobs), 1);
    ck_assert_ptr_eq(jobs[0], &one.job);
    lanes_put_back(&lanes, &first, false);
    ck_assert(lanes_ready(&lanes));
    lanes_pick(&lanes, &plenty, &second);
    ck_assert_str_eq(picked(&second), "AB");
    ck_assert(!second.divisible);
    ck_assert_uint_eq(take(&second, jobs), 2);
    ck_assert_ptr_eq(jobs[0], &two.job);
    ck_assert_ptr_eq(jobs[1], &three.job);
    lanes_put_back(&lanes, &second, false);
    ck_assert_uint_eq(lanes.n_queued, 0);
}
END_TEST

START_TEST(a_hot_lane_brings_the_cold_ones_of_its_carts)
{
    struct request carts[3];
    struct pick pick;
    struct job *jobs[JOBS];
    push(&carts[0], "HA");
    push(&carts[1], "HB");
    push(&carts[2], "CH");
    lanes_pick(&lanes, &plenty, &pick);
    ck_assert_str_eq(picked(&pick), "ABCH");
    ck_assert(pick.divisible);
    ck_assert_uint_eq(take(&pick, jobs), 3);
    for (size_t i = 0; i < 3; i++)
        ck_assert_ptr_eq(jobs[i], &carts[i].job);
    lanes_put_back(&lanes, &pick, false);
}
END_TEST

// Of two partitions, A and C have the one, B has the other.
START_TEST(a_partition_is_one_lane)
{
    static const struct strategy lock = {.scope = SCOPE_CLUSTER, .enter = no_enter};
    struct request one, pair, spread;
    struct pick pick;
    struct job *jobs[JOBS];
    guards[0].strategy = &lock;
    lanes.partitions = 2;
    push(&one, "A");
    push(&pair, "CA");
    push(&spread, "CB");
    ck_assert_uint_eq(one.job.n_links, 1);
    ck_assert_uint_eq(pair.job.n_links, 1);
    ck_assert_uint_eq(spread.job.n_links, 2);
    lanes_pick(&lanes, &plenty, &pick);
    ck_assert_uint_eq(pick.n, 2);
    ck_assert_str_eq(pick.keys[0], "partition/0");
    ck_assert_str_eq(pick.keys[1], "partition/1");
    struct lanes_budget legs = {.jobs = 9, .legs = 4, .lanes = 9};
    ck_assert_uint_eq(lanes_take(&lanes, &pick, INT64_MAX, &legs, jobs), 2); // three legs
    ck_assert_ptr_eq(jobs[0], &one.job);
    ck_assert_ptr_eq(jobs[1], &pair.job);
    ck_assert_uint_eq(take(&pick, jobs), 1);
    lanes_put_back(&lanes, &pick, false);
    lanes.partitions = 0;
    guards[0].strategy = NULL;
}
END_TEST

START_TEST(an_earlier_request_is_not_overtaken)
{
    struct request blocker, cart, later;
    struct pick first, second;
    struct job *jobs[JOBS];
    push(&blocker, "A");
    lanes_pick(&lanes, &plenty, &first);
    ck_assert_uint_eq(take(&first, jobs), 1); // it runs, and A is picked
    ck_assert(!push(&cart, "AH"));
    ck_assert(!push(&later, "H"));
    ck_assert(!lanes_ready(&lanes)); // later stands behind cart, and cart waits for A
    lanes_put_back(&lanes, &first, false);
    lanes_pick(&lanes, &plenty, &second);
    ck_assert_uint_eq(take(&second, jobs), 2);
    ck_assert_ptr_eq(jobs[0], &cart.job);
    ck_assert_ptr_eq(jobs[1], &later.job);
    lanes_put_back(&lanes, &second, false);
}
END_TEST

START_TEST(no_lane_gives_more_before_each_gave_what_it_had)
{
    struct request first[2], more[6];
    struct pick pick;
    struct job *jobs[JOBS];
    push(&first[0], "A");
    push(&first[1], "Z");
    lanes_pick(&lanes, &plenty, &pick);
    for (size_t i = 0; i < 6; i++)
        push(&more[i], "A"); // arrive while the lock is waited for
    struct lanes_budget few = {.jobs = 4, .legs = 64, .lanes = 256};
    ck_assert_uint_eq(lanes_take(&lanes, &pick, INT64_MAX, &few, jobs), 4);
    ck_assert_ptr_eq(jobs[0], &first[0].job);
    ck_assert_ptr_eq(jobs[1], &first[1].job);
    ck_assert_ptr_eq(jobs[2], &more[0].job);
    lanes_put_back(&lanes, &pick, false);
    lanes_pick(&lanes, &plenty, &pick);
    ck_assert_uint_eq(take(&pick, jobs), 4);
    lanes_put_back(&lanes, &pick, false);
}
END_TEST

// A lane that is deeper than the budget, and first by name, leaves the others their room.
START_TEST(a_deep_lane_takes_no_room_of_the_others)
{
    struct request last, deep[6];
    struct pick pick;
    struct job *jobs[JOBS];
    push(&last, "Z"); // has been ready longest
    for (size_t i = 0; i < 6; i++)
        push(&deep[i], "A");
    struct lanes_budget few = {.jobs = 4, .legs = 64, .lanes = 256};
    lanes_pick(&lanes, &few, &pick);
    ck_assert_str_eq(picked(&pick), "AZ");
    ck_assert_uint_eq(lanes_take(&lanes, &pick, INT64_MAX, &few, jobs), 4);
    ck_assert_ptr_eq(jobs[0], &deep[0].job);
    ck_assert_ptr_eq(jobs[2], &deep[2].job);
    ck_assert_ptr_eq(jobs[3], &last.job);
    lanes_put_back(&lanes, &pick, false);
    lanes_pick(&lanes, &plenty, &pick);
    ck_assert_uint_eq(take(&pick, jobs), 3);
    lanes_put_back(&lanes, &pick, false);
}
END_TEST

// Requests of another endpoint, and one with too many counters, stand between those that fit.
START_TEST(a_pick_passes_over_what_does_not_fit)
{
    struct request stock[3], coupons[2], cart;
    struct pick pick;
    struct job *jobs[JOBS];
    bool ready;
    push(&stock[0], "A");
    for (size_t i = 0; i < 2; i++) {
        request(&coupons[i], i == 0 ? "K" : "L");
        coupons[i].operation.kind = OPERATION_ISSUE;
        ck_assert(lanes_push(&lanes, &guards[0], &coupons[i].job, &ready));
        push(&stock[i + 1], i == 0 ? "B" : "C");
        if (i == 0)
            push(&cart, "DEF");
    }
    struct lanes_budget narrow = {.jobs = 256, .legs = 1024, .lanes = 4};
    lanes_pick(&lanes, &narrow, &pick);
    ck_assert_str_eq(picked(&pick), "ABC");
    ck_assert_uint_eq(take(&pick, jobs), 3);
    lanes_put_back(&lanes, &pick, false);
    ck_assert_ptr_eq(lanes_first(&lanes), &coupons[0].operation); // the oldest of those
    lanes_pick(&lanes, &narrow, &pick);
    ck_assert_str_eq(picked(&pick), "KL");
    ck_assert_uint_eq(take(&pick, jobs), 2);
    lanes_put_back(&lanes, &pick, false);
    lanes_pick(&lanes, &narrow, &pick);
    ck_assert_str_eq(picked(&pick), "DEF");
    ck_assert_uint_eq(take(&pick, jobs), 1);
    lanes_put_back(&lanes, &pick, false);
}
END_TEST

START_TEST(alone_is_a_request_with_what_it_needs)
{
    struct request one, two, cart;
    struct pick pick;
    struct job *jobs[JOBS];
    push(&one, "A");
    push(&two, "B");
    push(&cart, "BC");
    lanes_pick(&lanes, &plenty, &pick);
    ck_assert_str_eq(picked(&pick), "ABC");
    ck_assert_uint_eq(take(&pick, jobs), 3);
    lanes_return(&lanes, jobs, 3);
    lanes_put_back(&lanes, &pick, true);
    lanes_pick(&lanes, &plenty, &pick);
    ck_assert_str_eq(picked(&pick), "A");
    ck_assert_uint_eq(take(&pick, jobs), 1);
    lanes_put_back(&lanes, &pick, false);
    lanes_pick(&lanes, &plenty, &pick);
    ck_assert_str_eq(picked(&pick), "B");
    ck_assert_uint_eq(take(&pick, jobs), 1); // cart also needs C
    lanes_put_back(&lanes, &pick, false);
    lanes_pick(&lanes, &plenty, &pick);
    ck_assert_str_eq(picked(&pick), "BC");
    ck_assert(!pick.divisible);
    ck_assert_uint_eq(take(&pick, jobs), 1);
    lanes_put_back(&lanes, &pick, false);
    ck_assert(!lanes_ready(&lanes));
}
END_TEST

START_TEST(what_expires_leaves_all_its_lanes)
{
    struct request cart, later;
    struct pick pick;
    struct job *jobs[JOBS];
    struct queue expired = {0};
    push(&cart, "AB");
    cart.job.deadline_ns = 5;
    push(&later, "BA");
    later.job.deadline_ns = 9;
    ck_assert_int_eq(lanes_move_expired(&lanes, 4, &expired), 5);
    ck_assert_uint_eq(expired.n, 0);
    ck_assert_int_eq(lanes_move_expired(&lanes, 5, &expired), 9);
    ck_assert_uint_eq(expired.n, 1);
    ck_assert_ptr_eq(lanes_first(&lanes), &later.operation);
    lanes_pick(&lanes, &plenty, &pick);
    ck_assert_uint_eq(take(&pick, jobs), 1);
    lanes_put_back(&lanes, &pick, false);
    ck_assert_uint_eq(lanes.n_queued, 0);
    ck_assert_int_eq(lanes_move_expired(&lanes, 9, &expired), INT64_MAX);
}
END_TEST

// ---- against a model ----------------------------------------------------------------------------

enum state { FREE, QUEUED, TAKEN };

struct modelled {
    struct request request;
    enum state state;
    int guard;
    uint64_t arrival; // a request that was returned keeps its own
};

static struct modelled all[JOBS];

static bool share_a_lane(struct modelled *one, struct modelled *two)
{
    for (size_t i = 0; i < operation_n_legs(&one->request.operation); i++) {
        for (size_t j = 0; j < operation_n_legs(&two->request.operation); j++) {
            if (strcmp(operation_leg(&one->request.operation, i)->counter,
                       operation_leg(&two->request.operation, j)->counter) == 0)
                return one->guard == two->guard;
        }
    }
    return false;
}

// Nothing that arrived earlier in one of its lanes still waits, and nothing else there is running
// in another pick.
static void check_order(struct modelled *taken, const struct pick *pick)
{
    for (size_t i = 0; i < JOBS; i++) {
        if (&all[i] == taken || all[i].state == FREE || !share_a_lane(&all[i], taken))
            continue;
        if (all[i].state == QUEUED)
            ck_assert_uint_gt(all[i].arrival, taken->arrival);
    }
    for (size_t i = 0; i < operation_n_legs(&taken->request.operation); i++) {
        bool inside = false;
        for (size_t j = 0; j < pick->n; j++)
            inside |=
                strcmp(pick->keys[j], operation_leg(&taken->request.operation, i)->counter) == 0;
        ck_assert(inside);
    }
}

static void push_random(uint64_t arrival)
{
    for (size_t i = 0; i < JOBS; i++) {
        if (all[i].state != FREE)
            continue;
        char counters[LEGS + 1] = "";
        size_t n = 1 + random_below(LEGS), have = 0;
        while (have < n) {
            char letter = (char)('A' + random_below(COUNTERS));
            if (strchr(counters, letter) == NULL)
                counters[have++] = letter;
        }
        request(&all[i].request, counters);
        all[i].request.job.deadline_ns = 2 + (int64_t)random_below(JOBS);
        all[i].guard = (int)random_below(2);
        all[i].arrival = arrival;
        all[i].state = QUEUED;
        bool became_ready;
        ck_assert(lanes_push(&lanes, &guards[all[i].guard], &all[i].request.job, &became_ready));
        return;
    }
}

static struct modelled *modelled_of(struct job *job)
{
    struct request *of = CONTAINER_OF(job, struct request, job);
    return CONTAINER_OF(of, struct modelled, request);
}

static void take_and_end(struct pick *pick)
{
    struct job *jobs[JOBS];
    struct lanes_budget budget = {.jobs = 1 + random_below(8), .legs = 3 + random_below(8)};
    size_t n = lanes_take(&lanes, pick, INT64_MAX, &budget, jobs);
    for (size_t i = 0; i < n; i++) {
        check_order(modelled_of(jobs[i]), pick);
        modelled_of(jobs[i])->state = TAKEN;
    }
    size_t done = random_below(4) == 0 ? random_below(n + 1) : n;
    for (size_t i = 0; i < n; i++)
        modelled_of(jobs[i])->state = i < done ? FREE : QUEUED;
    lanes_return(&lanes, jobs + done, n - done);
    lanes_put_back(&lanes, pick, random_below(8) == 0);
}

static void expire_one(void)
{
    struct modelled *some = &all[random_below(JOBS)];
    if (some->state != QUEUED)
        return;
    struct queue expired = {0};
    some->state = FREE;
    some->request.job.deadline_ns = 1;
    int64_t first_ns = INT64_MAX;
    for (size_t i = 0; i < JOBS; i++) {
        if (all[i].state == QUEUED && all[i].request.job.deadline_ns < first_ns)
            first_ns = all[i].request.job.deadline_ns;
    }
    ck_assert_int_eq(lanes_move_expired(&lanes, 1, &expired), first_ns);
    ck_assert_uint_eq(expired.n, 1);
    ck_assert_ptr_eq(expired.head, &some->request.job);
}

START_TEST(random_requests_keep_their_order)
{
    memset(all, 0, sizeof all);
    struct pick picks[2] = {0};
    for (uint64_t step = 0; step < 200000; step++) {
        struct pick *pick = &picks[random_below(2)];
        switch (random_below(5)) {
        case 0:
        case 1:
            push_random(step);
            break;
        case 2:
            expire_one();
            break;
        default:
            if (pick->n > 0) {
                take_and_end(pick);
            } else if (lanes_ready(&lanes)) {
                struct lanes_budget budget = {.jobs = 1 + random_below(8),
                                              .legs = 3 + random_below(8),
                                              .lanes = 1 + random_below(4)};
                lanes_pick(&lanes, &budget, pick);
                for (size_t i = 1; i < pick->n; i++)
                    ck_assert_str_lt(pick->keys[i - 1], pick->keys[i]);
            }
        }
    }
    // Nothing is stuck: what is left comes out.
    for (size_t i = 0; i < 2; i++) {
        if (picks[i].n > 0)
            lanes_put_back(&lanes, &picks[i], false);
    }
    while (lanes_ready(&lanes)) {
        lanes_pick(&lanes, &plenty, &picks[0]);
        take_and_end(&picks[0]);
    }
    ck_assert_uint_eq(lanes.n_queued, 0);
    for (size_t i = 0; i < JOBS; i++)
        ck_assert_int_eq(all[i].state, FREE);
    for (size_t i = 0; i < LANES_BUCKETS; i++)
        ck_assert_ptr_null(lanes.buckets[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lanes");
    TCase *cases = suite_case(suite, "lanes", 60);
    tcase_add_test(cases, a_request_waits_in_each_of_its_lanes);
    tcase_add_test(cases, a_hot_lane_brings_the_cold_ones_of_its_carts);
    tcase_add_test(cases, a_partition_is_one_lane);
    tcase_add_test(cases, an_earlier_request_is_not_overtaken);
    tcase_add_test(cases, no_lane_gives_more_before_each_gave_what_it_had);
    tcase_add_test(cases, a_deep_lane_takes_no_room_of_the_others);
    tcase_add_test(cases, a_pick_passes_over_what_does_not_fit);
    tcase_add_test(cases, alone_is_a_request_with_what_it_needs);
    tcase_add_test(cases, what_expires_leaves_all_its_lanes);
    tcase_add_test(cases, random_requests_keep_their_order);
    return suite_run(suite);
}
