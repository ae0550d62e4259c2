// Reservations in the conformance suite.
#include "holding.h"

#include "base/clock.h"
#include "base/random.h"
#include "base/text.h"
#include "store/db/db.h"
#include "store/tables/counter.h"
#include "store/tables/reservation.h"

#include <check.h>
#include <stdlib.h>

void held_open(struct held *held, const char *sku, int64_t quantity)
{
    uint64_t entropy[ENTROPY_WORDS];
    random_bytes(entropy, sizeof entropy);
    reservation_id(entropy, held->id);
    hold_name(held->hold, sku, held->id, 0);
    text_copy(held->sku, sizeof held->sku, sku);
    held->quantity = quantity;
}

void held_fill(struct operation *operation, enum operation_kind kind, const struct held *held,
               int64_t amount)
{
    operation->kind = kind;
    operation->reservation = held->id;
    operation->leg.child = held->hold;
    operation->leg.amount = amount;
    text_format(operation->leg.counter, sizeof operation->leg.counter, "stock/%s", held->sku);
}

struct operation held_submit(struct fixture *fixture, enum operation_kind kind,
                             const struct held *held, int64_t amount, int64_t ttl_ms)
{
    struct operation operation = {.ttl_ms = ttl_ms};
    held_fill(&operation, kind, held, amount);
    (void)submit_and_wait(fixture->instances[0].engine, &operation);
    return operation;
}

struct held reserve(struct fixture *fixture, const char *sku, int64_t quantity, int64_t ttl_ms)
{
    struct held held;
    held_open(&held, sku, quantity);
    struct operation done = held_submit(fixture, OPERATION_RESERVE, &held, quantity, ttl_ms);
    ck_assert_int_eq(done.outcome.rc, RC_OK);
    return held;
}

enum rc deduct(struct fixture *fixture, const char *sku, int64_t quantity)
{
    struct operation operation = {.kind = OPERATION_DEDUCT, .leg = {.amount = quantity}};
    text_format(operation.leg.counter, sizeof operation.leg.counter, "stock/%s", sku);
    return submit_and_wait(fixture->instances[0].engine, &operation);
}

struct counter read_counter(struct fixture *fixture, const char *name)
{
    struct counter counter;
    int64_t now_ms;
    text_copy(counter.name, sizeof counter.name, name);
    ck_assert_int_eq(counter_load(fixture->scratch.db, &counter, 1, false, &now_ms), RC_OK);
    return counter;
}

static struct reservation *find(struct fixture *fixture, const struct held *held)
{
    static struct reservation reservation;
    int64_t now_ms;
    ck_assert_int_eq(reservation_get(fixture->scratch.db, held->id, &reservation, &now_ms), RC_OK);
    return &reservation;
}

const char *state_of(struct fixture *fixture, const struct held *held)
{
    return reservation_states[find(fixture, held)->state];
}

int64_t expires_at(struct fixture *fixture, const struct held *held)
{
    return find(fixture, held)->expires_at_ms;
}

int64_t database_int(struct fixture *fixture, const char *sql)
{
    int64_t number = -1;
    ck_assert_int_eq(db_query_int(fixture->scratch.db, sql, NULL, 0, &number), RC_OK);
    return number;
}

int64_t database_now_ms(struct fixture *fixture)
{
    char sql[128];
    text_format(sql, sizeof sql, "SELECT %s", db_now_ms_sql(fixture->scratch.db));
    return database_int(fixture, sql);
}

int64_t open_holds(struct fixture *fixture)
{
    return database_int(fixture, "SELECT COUNT(*) FROM hold");
}

void await_time(struct fixture *fixture, int64_t at_ms)
{
    while (database_now_ms(fixture) < at_ms)
        clock_sleep_ns(NS_PER_MS);
}

void move_all_to(struct fixture *fixture, int64_t at_ms)
{
    static const char *const updates[] = {
        "UPDATE hold SET expires_at = ?",
        "UPDATE reservation SET expires_at = ?",
    };
    struct db_value param = db_int(at_ms);
    for (size_t i = 0; i < ARRAY_LENGTH(updates); i++)
        ck_assert_int_eq(db_exec(fixture->scratch.db, updates[i], &param, 1, NULL), RC_OK);
}
