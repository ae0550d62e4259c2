// Random operations on points against a model: earn, also for an order, spend and transfer, with
// repeated keys and missing accounts, in flight together at every instance.
//
// The model knows nothing of transactions. It takes the answers and looks for an order in which one
// clerk could have given all of them: an operation is next if it made the next version of each of
// its accounts. No order is found if a version is missing or made twice, or if two accounts took
// two operations in different orders. A refusal must be true of the version that it names.
//
// HOLDFAST_TEST_SEED repeats the choices of a run, not the schedule of its threads.
#include "accounts.h"

#include "base/random.h"
#include "base/text.h"

#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPERATIONS = 240, ACCOUNTS = 6, POINTS_MAX = 40, ORDERS = 3 };

static const char *const users[ACCOUNTS] = {"anna", "bob", "cleo", "dora", "emil", "finn"};

static uint64_t first_seed, state;

// splitmix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
static uint64_t choose(uint64_t below)
{
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % below;
}

static void choose_seed(void)
{
    const char *text = getenv("HOLDFAST_TEST_SEED");
    first_seed = random_below(INT32_MAX);
    if (text != NULL)
        first_seed = strtoull(text, NULL, 10);
    printf("seed %llu (HOLDFAST_TEST_SEED)\n", (unsigned long long)first_seed);
    fflush(stdout);
}

// ---- what is asked ------------------------------------------------------------------------------

struct request {
    enum operation_kind kind;
    size_t account[2]; // of each leg
    int64_t points;
    size_t order; // for which points are earned
    size_t key;   // the first request with the same key
};

static struct request requests[OPERATIONS];

static size_t n_legs(const struct request *request)
{
    return request->kind == OPERATION_TRANSFER ? 2 : 1;
}

static void choose_requests(void)
{
    static const enum operation_kind kinds_of[] = {OPERATION_EARN, OPERATION_EARN_FOR_ORDER,
                                                   OPERATION_SPEND, OPERATION_TRANSFER,
                                                   OPERATION_TRANSFER};
    for (size_t i = 0; i < OPERATIONS; i++) {
        if (i > 0 && choose(5) == 0) {
            requests[i] = requests[choose(i)];
            continue;
        }
        struct request *request = &requests[i];
        request->kind = kinds_of[choose(ARRAY_LENGTH(kinds_of))];
        request->account[0] = choose(ACCOUNTS);
        request->account[1] = (request->account[0] + 1 + choose(ACCOUNTS - 1)) % ACCOUNTS;
        request->points = 1 + (int64_t)choose(POINTS_MAX);
        request->order = choose(ORDERS);
        request->key = i;
    }
}

static bool gives(const struct request *request)
{
    return request->kind == OPERATION_SPEND || request->kind == OPERATION_TRANSFER;
}

static void fill(struct volley *volley, size_t i)
{
    const struct request *request = &requests[i];
    struct operation *operation = volley_operation(volley, i);
    if (request->kind == OPERATION_TRANSFER) {
        volley_transfer(volley, i, users[request->account[0]], users[request->account[1]],
                        request->points);
    } else {
        operation->kind = request->kind;
        operation->leg.amount = request->points;
        operation->leg.may_create = !gives(request);
        text_format(operation->leg.counter, sizeof operation->leg.counter, "points/%s",
                    users[request->account[0]]);
    }
    text_copy(operation->user_id, sizeof operation->user_id, users[request->account[0]]);
    if (request->kind == OPERATION_EARN_FOR_ORDER)
        text_format(operation->order_id, sizeof operation->order_id, "order-%zu", request->order);
    text_copy(operation->request_key, sizeof operation->request_key,
              volley_operation(volley, request->key)->request_key);
}

// ---- the model ----------------------------------------------------------------------------------

static struct {
    int64_t version, points;
    int64_t points_at[OPERATIONS + 1]; // each version
    int64_t earned_at[ORDERS];         // the version that each order made; 0 if none
} model[ACCOUNTS];

static bool is_next(const struct request *request, struct operation *answer)
{
    for (size_t i = 0; i < n_legs(request); i++) {
        if (operation_leg(answer, i)->version != model[request->account[i]].version + 1)
            return false;
    }
    return true;
}

static void post(size_t account, int64_t points, const struct leg *leg)
{
    model[account].points += points;
    ck_assert_int_ge(model[account].points, 0);
    ck_assert_int_eq(model[account].points, leg->remaining);
    model[account].points_at[++model[account].version] = model[account].points;
}

static void apply(const struct request *request, struct operation *answer)
{
    if (gives(request))
        ck_assert_int_gt(model[request->account[0]].version, 0);
    if (request->kind == OPERATION_EARN_FOR_ORDER) {
        int64_t *earned_at = &model[request->account[0]].earned_at[request->order];
        ck_assert_int_eq(*earned_at, 0);
        *earned_at = answer->leg.version;
    }
    post(request->account[0], gives(request) ? -request->points : request->points, &answer->leg);
    if (request->kind == OPERATION_TRANSFER)
        post(request->account[1], request->points, answer->more);
}

// All answers to one key are the same success, at most one of which is the first, or a refusal that
// was given before it. Returns whether this request is the one that stands for its key.
static bool stands_for_key(struct volley *volley, size_t i)
{
    size_t first = SIZE_MAX, n_first = 0;
    for (size_t j = 0; j < OPERATIONS; j++) {
        struct operation *answer = volley_operation(volley, j);
        if (requests[j].key != requests[i].key || answer->outcome.rc != RC_OK)
            continue;
        n_first += !answer->outcome.replayed;
        if (first == SIZE_MAX)
            first = j;
        struct operation *same = volley_operation(volley, first);
        for (size_t k = 0; k < n_legs(&requests[j]); k++) {
            ck_assert_int_eq(operation_leg(answer, k)->version, operation_leg(same, k)->version);
            ck_assert_int_eq(operation_leg(answer, k)->remaining,
                             operation_leg(same, k)->remaining);
        }
    }
    ck_assert_uint_le(n_first, 1);
    return first == i;
}

static void check_successes(struct volley *volley)
{
    bool waiting[OPERATIONS], progress = true;
    size_t n = 0;
    for (size_t i = 0; i < OPERATIONS; i++) {
        waiting[i] = stands_for_key(volley, i);
        n += waiting[i];
    }
    while (progress) {
        progress = false;
        for (size_t i = 0; i < OPERATIONS; i++) {
            if (!waiting[i] || !is_next(&requests[i], volley_operation(volley, i)))
                continue;
            apply(&requests[i], volley_operation(volley, i));
            waiting[i] = false;
            progress = true;
            n--;
        }
    }
    ck_assert_msg(n == 0, "%zu answers fit into no order", n);
}

// Only the first account refuses.
static void check_refusals(struct volley *volley)
{
    for (size_t i = 0; i < OPERATIONS; i++) {
        const struct request *request = &requests[i];
        const struct outcome *outcome = &volley_operation(volley, i)->outcome;
        size_t account = request->account[0];
        if (outcome->rc == RC_OK)
            continue;
        ck_assert_int_le(outcome->version, model[account].version);
        ck_assert_int_eq(outcome->remaining, model[account].points_at[outcome->version]);
        if (gives(request)) {
            ck_assert_int_eq(outcome->rc,
                             outcome->version == 0 ? RC_NOT_FOUND : RC_NOT_ENOUGH_POINTS);
            ck_assert_int_lt(outcome->remaining, request->points);
            continue;
        }
        ck_assert_int_eq(request->kind, OPERATION_EARN_FOR_ORDER);
        ck_assert_int_eq(outcome->rc, RC_ALREADY_EARNED);
        ck_assert_int_gt(model[account].earned_at[request->order], 0);
        ck_assert_int_ge(outcome->version, model[account].earned_at[request->order]);
    }
}

START_TEST(random_operations_have_an_order)
{
    struct fixture fixture;
    size_t instances = scenario_at(_i).strategy->scope == SCOPE_CLUSTER ? 2 : 1;
    if (!open_scenario(&fixture, _i, SCOPE_PROCESS, instances))
        return;
    state = first_seed + (uint64_t)_i;
    memset(model, 0, sizeof model);
    choose_requests();
    struct volley volley;
    volley_init(&volley, OPERATIONS);
    for (size_t i = 0; i < OPERATIONS; i++) {
        fill(&volley, i);
        volley_submit(&volley, fixture.instances[choose(instances)].engine, i);
        if (choose(OPERATIONS / 4) == 0)
            volley_wait(&volley); // the repetitions that follow come late
    }
    volley_settle(&volley, &fixture);
    check_successes(&volley);
    check_refusals(&volley);
    for (size_t i = 0; i < ACCOUNTS; i++) {
        struct counter account = account_read(&fixture, users[i]);
        ck_assert_int_eq(account.remaining, model[i].points);
        ck_assert_int_eq(account.version, model[i].version);
    }
    fixture_assert_reconciled(&fixture);
    volley_release(&volley);
    fixture_close(&fixture);
}
END_TEST

int main(void)
{
    choose_seed();
    Suite *suite = suite_create("random points");
    TCase *every = suite_case(suite, "every strategy", 120);
    tcase_add_loop_test(every, random_operations_have_an_order, 0, scenarios());
    return suite_run(suite);
}
