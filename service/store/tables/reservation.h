// Reservations and their open holds.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/reservation.h"

#include <stddef.h>
#include <stdint.h>

struct db;

// "SKU QUANTITY" for each line, with a comma between two.
#define RESERVATION_ITEMS_MAX (RESERVATION_LINES_MAX * (ID_MAX + 22))

struct reservation {
    char id[RESERVATION_ID_MAX + 1];
    char user_id[USER_ID_MAX + 1], order_id[ORDER_ID_MAX + 1]; // empty if none
    enum reservation_state state; // as written: what is held and past its time has expired
    char items[RESERVATION_ITEMS_MAX + 1];
    int64_t expires_at_ms, created_at_ms;
};

// What is held and past its time has expired, whether or not its state says so yet.
enum reservation_state reservation_state_at(const struct reservation *reservation, int64_t now_ms);

MUST_CHECK enum rc reservation_insert(struct db *db, const struct reservation *reservations,
                                      size_t n);
MUST_CHECK enum rc reservation_get(struct db *db, const char *id, struct reservation *ret,
                                   int64_t *ret_now_ms);

// now_ms: the database's time at which it was read.
typedef enum rc (*reservation_fn)(void *arg, const struct reservation *reservation, int64_t now_ms);

// A user's reservations with id > after, ascending, at most limit. state: as reservation_state_at
// tells it, or RESERVATION_STATE_COUNT for all.
MUST_CHECK enum rc reservation_page(struct db *db, const char *user_id,
                                    enum reservation_state state, const char *after, int64_t limit,
                                    reservation_fn on_reservation, void *arg);

// How many reservations a user has open at now_ms.
MUST_CHECK enum rc reservation_count_open(struct db *db, const char *user_id, int64_t now_ms,
                                          int64_t *ret_open);

// When each of these reservations expires or expired: ret_expires_at[i] for ids[i]. Where
// nothing can expire, minus the reservation's state; 0 if it is unknown.
MUST_CHECK enum rc reservation_expiries(struct db *db, const char *const *ids, size_t n,
                                        int64_t *ret_expires_at);

// Gives these reservations, which may repeat, this state. A state that is not `held` stays.
MUST_CHECK enum rc reservation_resolve_all(struct db *db, const char *const *ids, size_t n,
                                           enum reservation_state state);
MUST_CHECK enum rc reservation_set_expiry(struct db *db, const char *id, int64_t expires_at_ms);

struct hold {
    char counter[COUNTER_NAME_MAX + 1]; // the stock that guards it
    char reservation[RESERVATION_ID_MAX + 1];
    int64_t line, quantity, expires_at_ms;
};

MUST_CHECK enum rc hold_insert(struct db *db, const struct hold *holds, size_t n);
MUST_CHECK enum rc hold_delete(struct db *db, const struct hold *holds, size_t n);

// Moves holds from the expiry that they name to another. At once: db_exec.
MUST_CHECK enum rc hold_set_expiry(struct db *db, const struct hold *holds, size_t n,
                                   int64_t expires_at_ms);

typedef enum rc (*hold_fn)(void *arg, const struct hold *hold);

// The holds of a counter that are due at now_ms, in the order (expires_at, reservation, line), at
// most `max`. ret_version: the counter's, read by the same statement. ret_next_ms: when the first
// that is not due expires; 0 if there is none.
MUST_CHECK enum rc hold_due(struct db *db, const char *counter, int64_t now_ms, size_t max,
                            hold_fn on_hold, void *arg, int64_t *ret_version, int64_t *ret_next_ms);

// Due holds of all counters, the oldest first, at most `max`. ret_now_ms: the database's time.
MUST_CHECK enum rc hold_due_anywhere(struct db *db, size_t max, hold_fn on_hold, void *arg,
                                     int64_t *ret_now_ms);
