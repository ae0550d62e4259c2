#include "accounts.h"

#include "base/text.h"
#include "store/tables/ledger.h"

#include <check.h>

static struct ledger_row row_of(struct fixture *fixture, const struct operation *operation,
                                int64_t leg)
{
    struct ledger_row row;
    ck_assert_int_eq(ledger_find_leg(fixture->scratch.db, operation->request_key, leg, &row),
                     RC_OK);
    return row;
}

void account_earn(struct fixture *fixture, const char *user, int64_t points)
{
    struct operation operation = {.kind = OPERATION_EARN,
                                  .leg = {.amount = points, .may_create = true}};
    text_format(operation.leg.counter, sizeof operation.leg.counter, "points/%s", user);
    ck_assert_int_eq(submit_and_wait(fixture->instances[fixture->n - 1].engine, &operation), RC_OK);
    ck_assert_int_gt(row_of(fixture, &operation, 0).created_at_ms, 0); // also of a new account
}

struct counter account_read(struct fixture *fixture, const char *user)
{
    char name[COUNTER_NAME_MAX + 1];
    text_format(name, sizeof name, "points/%s", user);
    return fixture_counter(fixture, name);
}

void transfer_assert_whole(struct fixture *fixture, struct operation *transfer)
{
    struct ledger_row row;
    for (size_t i = 0; i < 2; i++) {
        const struct leg *leg = operation_leg(transfer, i);
        if (transfer->outcome.rc != RC_OK) {
            ck_assert_int_eq(
                ledger_find_leg(fixture->scratch.db, transfer->request_key, (int64_t)i, &row),
                RC_NOT_FOUND);
            continue;
        }
        row = row_of(fixture, transfer, (int64_t)i);
        ck_assert_str_eq(row.counter, leg->counter);
        ck_assert_int_eq(row.delta, i == 0 ? -leg->amount : leg->amount);
        ck_assert_int_eq(row.version, leg->version);
        ck_assert_int_eq(row.remaining, leg->remaining);
    }
}
