// Reservations: goods that are held for a buyer until a moment. Each line of a reservation is a
// hold, a counter hold/SKU/RESERVATION/LINE that stock/SKU guards. Units move from the stock to the
// hold, and back or out of the shop.
//
// A hold is held from its creation until before expires_at. What counts is the time of the
// decision, which is the database's, read with the counters.
#pragma once

#include "base/rc.h"
#include "domain/operation.h"
#include "domain/view.h"

#define RESERVATION_LINES_MAX 50

enum reservation_state {
    RESERVATION_HELD,
    RESERVATION_CONFIRMED,
    RESERVATION_RELEASED,
    RESERVATION_EXPIRED,
    RESERVATION_STATE_COUNT
};

extern const char *const reservation_states[RESERVATION_STATE_COUNT]; // "held", ...

// An id that cannot be guessed: 100 random bits in Crockford's base 32.
void reservation_id(const uint64_t entropy[ENTROPY_WORDS], char ret_id[RESERVATION_ID_MAX + 1]);

// The counter of a line's hold; and its parts.
void hold_name(char target[COUNTER_NAME_MAX + 1], const char *sku, const char *reservation,
               size_t line);
int64_t hold_line(const char *name);
void hold_reservation(const char *name, char ret_id[RESERVATION_ID_MAX + 1]);

// The counter of a buyer. It has a hash of the user's name, which need not be a counter's id; users
// who share a hash wait for each other, and that is all.
void buyer_name(char target[COUNTER_NAME_MAX + 1], const char *user_id);

// The request key of the expiry of a line. It contains a space, which no client's key can.
void reservation_expire_key(char target[REQUEST_KEY_MAX + 1], const char *reservation, size_t line);

// The decision of reserve: takes each leg's amount from the stock and gives it to a new hold. RC_OK
// or RC_OUT_OF_STOCK.
enum rc reservation_reserve(struct view *view, struct operation *operation);

// The same for a user who may have operation->open_max reservations open, or RC_RESERVATION_LIMIT.
// The first leg is the buyer, with amount 0: whatever the products, the version of its counter
// makes one reservation of the user follow the other.
enum rc reservation_reserve_limited(struct view *view, struct operation *operation);

// What the hold of a leg holds.
int64_t hold_units(const struct view *view, size_t leg);

// Is everything held that the legs name? As confirm, below.
enum rc hold_judge(struct view *view, struct operation *operation);

// Extend changes no number, but gives each hold a version, so that a decision that has read the old
// time is made again; so it does with the buyer where the number of open reservations is limited.
// The refusals of confirm, release and extend: RC_RESERVATION_EXPIRED, RC_RESERVATION_RESOLVED,
// with the state as an outcome; of extend RC_RESERVATION_LONGER if it would end earlier than
// before, because a replay is answered from the time of the decision alone. Confirm and release are
// movements, which empty each hold: see domain/movement.h.
enum rc reservation_extend(struct view *view, struct operation *operation);

// The decision of expire: gives a hold that is due back to the stock. RC_OK;
// RC_RESERVATION_RESOLVED if another operation has emptied it; RC_INVALID_FIELD if it is not due.
enum rc reservation_expire(struct view *view, struct operation *operation);

// The decision of expire-due, which a reader of the counters submits: always RC_OUT_OF_STOCK, so
// that all holds on its counters that are due expire first.
enum rc reservation_expire_due(struct view *view, struct operation *operation);
