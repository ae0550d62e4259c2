// The rules of reservations. The second operation on a hold finds nothing left in it.
#include "domain/reservation.h"

#include "base/text.h"
#include "domain/stock.h"

#include <stdlib.h>
#include <string.h>

const char *const reservation_states[RESERVATION_STATE_COUNT] = {
    [RESERVATION_HELD] = "held",
    [RESERVATION_CONFIRMED] = "confirmed",
    [RESERVATION_RELEASED] = "released",
    [RESERVATION_EXPIRED] = "expired",
};

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void reservation_id(const uint64_t entropy[ENTROPY_WORDS], char ret_id[RESERVATION_ID_MAX + 1])
{
    for (unsigned i = 0; i < RESERVATION_ID_MAX; i++) // ten characters a word: 50 of its 64 bits
        ret_id[i] = alphabet[(entropy[i / 10] >> (5 * (i % 10))) & 31];
    ret_id[RESERVATION_ID_MAX] = '\0';
}

void hold_name(char target[COUNTER_NAME_MAX + 1], const char *sku, const char *reservation,
               size_t line)
{
    text_format(target, COUNTER_NAME_MAX + 1, "hold/%s/%s/%zu", sku, reservation, line);
}

void buyer_name(char target[COUNTER_NAME_MAX + 1], const char *user_id)
{
    uint64_t hash = text_hash(TEXT_HASH_START, user_id, strlen(user_id));
    text_format(target, COUNTER_NAME_MAX + 1, "buyer/%016llx", (unsigned long long)hash);
}

int64_t hold_line(const char *name)
{
    return strtoll(strrchr(name, '/') + 1, NULL, 10);
}

void hold_reservation(const char *name, char ret_id[RESERVATION_ID_MAX + 1])
{
    const char *id = strchr(counter_id(name), '/') + 1;
    text_format(ret_id, RESERVATION_ID_MAX + 1, "%.*s", (int)strcspn(id, "/"), id);
}

void reservation_expire_key(char target[REQUEST_KEY_MAX + 1], const char *reservation, size_t line)
{
    text_format(target, REQUEST_KEY_MAX + 1, "expire %s %zu", reservation, line);
}

int64_t hold_units(const struct view *view, size_t leg)
{
    return view->counters[view->children[leg]].remaining;
}

// Has an earlier operation of the batch emptied the leg's hold?
static bool was_held(const struct view *view, size_t leg)
{
    return view->loaded[view->children[leg]].remaining > 0;
}

// A refusal because of the time stands only when the holds have expired in fact.
enum rc hold_judge(struct view *view, struct operation *operation)
{
    if (view->expires_at_ms <= 0) {
        if (view->expires_at_ms < 0)
            operation->outcome.state = reservation_states[-view->expires_at_ms];
        return RC_RESERVATION_RESOLVED;
    }
    bool due = view->now_ms >= view->expires_at_ms, gone = false, resolved = false;
    for (size_t i = 0; i < operation_n_legs(operation); i++) {
        if (operation_leg(operation, i)->child == NULL)
            continue;
        bool is_held = hold_units(view, i) > 0;
        gone = gone || !is_held;
        resolved = resolved || (!due && !is_held && was_held(view, i));
        operation_leg(operation, i)->refused = due && is_held;
        view->expire_first = view->expire_first || (due && is_held);
    }
    if (resolved)
        return RC_RESERVATION_RESOLVED;
    if (!due && !gone)
        return RC_OK;
    operation->outcome.state = reservation_states[RESERVATION_EXPIRED];
    return RC_RESERVATION_EXPIRED;
}

enum rc reservation_reserve(struct view *view, struct operation *operation)
{
    enum rc rc = stock_judge(view, operation);
    if (rc != RC_OK)
        return rc;
    for (size_t i = 0; i < operation_n_legs(operation); i++)
        view_post_leg(view, i, -operation_leg(operation, i)->amount);
    for (size_t i = 0; i < operation_n_legs(operation); i++)
        view_post_child(view, i, operation_leg(operation, i)->amount);
    return RC_OK;
}

enum rc reservation_reserve_limited(struct view *view, struct operation *operation)
{
    if (*view->used >= operation->open_max)
        return RC_RESERVATION_LIMIT;
    enum rc rc = reservation_reserve(view, operation);
    if (rc == RC_OK)
        ++*view->used;
    return rc;
}

enum rc reservation_extend(struct view *view, struct operation *operation)
{
    enum rc rc = hold_judge(view, operation);
    if (rc != RC_OK)
        return rc;
    if (view->now_ms + operation->ttl_ms < view->expires_at_ms)
        return RC_RESERVATION_LONGER;
    for (size_t i = 0; i < operation_n_legs(operation); i++)
        view_post_leg(view, i, 0);
    for (size_t i = 0; i < operation_n_legs(operation); i++)
        view_post_child(view, i, 0);
    view->expires_at_ms = operation->outcome.expires_at_ms = view->now_ms + operation->ttl_ms;
    return RC_OK;
}

enum rc reservation_expire(struct view *view, struct operation *operation)
{
    (void)operation;
    if (view->expires_at_ms <= 0 || hold_units(view, 0) == 0)
        return RC_RESERVATION_RESOLVED;
    if (view->now_ms < view->expires_at_ms)
        return RC_INVALID_FIELD;
    view_post_leg(view, 0, hold_units(view, 0));
    view_post_child(view, 0, -hold_units(view, 0));
    return RC_OK;
}

enum rc reservation_expire_due(struct view *view, struct operation *operation)
{
    for (size_t i = 0; i < operation_n_legs(operation); i++)
        operation_leg(operation, i)->refused = true;
    view->expire_first = true;
    return RC_OUT_OF_STOCK;
}
