// Reservations in the conformance suite: operations on them, and what the database says of them.
#pragma once

#include "fixture.h"

#include "domain/reservation.h"

#define LONG_MS 60000

// One line of a reservation and its names, which must outlive the operations.
struct held {
    char id[RESERVATION_ID_MAX + 1], hold[COUNTER_NAME_MAX + 1];
    char sku[ID_MAX + 1];
    int64_t quantity;
};

// A new name for a reservation of so many units.
void held_open(struct held *held, const char *sku, int64_t quantity);

// Makes the operation one on this line.
void held_fill(struct operation *operation, enum operation_kind kind, const struct held *held,
               int64_t amount);

// Submits an operation to the first instance and waits for it.
struct operation held_submit(struct fixture *fixture, enum operation_kind kind,
                             const struct held *held, int64_t amount, int64_t ttl_ms);

// Reserves units of the product at the first instance, which must succeed.
struct held reserve(struct fixture *fixture, const char *sku, int64_t quantity, int64_t ttl_ms);

enum rc deduct(struct fixture *fixture, const char *sku, int64_t quantity);

struct counter read_counter(struct fixture *fixture, const char *name);
const char *state_of(struct fixture *fixture, const struct held *held); // as written
int64_t expires_at(struct fixture *fixture, const struct held *held);
int64_t database_int(struct fixture *fixture, const char *sql);
int64_t database_now_ms(struct fixture *fixture);
int64_t open_holds(struct fixture *fixture);

// Waits until the database's clock has this time.
void await_time(struct fixture *fixture, int64_t at_ms);

// Moves the expiry of all reservations and holds to this time, which is as if the clock had moved
// the other way. So the tests need not wait.
void move_all_to(struct fixture *fixture, int64_t at_ms);
