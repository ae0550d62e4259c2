// The rules of reservations. The second operation on a hold finds nothing left in it.
#include "domain/reservation.h"

#include "base/text.h"
#include "domain/stock.h"

#include <stdlib.h>
#include <string.h>

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
    if (view->expires_at_ms == 0)
        return RC_RESERVATION_RESOLVED;
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
    return due || gone ? RC_RESERVATION_EXPIRED : RC_OK;
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

enum rc reservation_extend(struct view *view, struct operation *operation)
{
    enum rc rc = hold_judge(view, operation);
    if (rc != RC_OK)
        return rc;
    for (size_t i = 0; i < operation_n_legs(operation); i++)
        view_post_leg(view, i, 0);
    for (size_t i = 0; i < operation_n_legs(operation); i++)
        view_post_child(view, i, 0);
    return RC_OK;
}

enum rc reservation_expire(struct view *view, struct operation *operation)
{
    (void)operation;
    if (view->expires_at_ms == 0 || hold_units(view, 0) == 0)
        return RC_RESERVATION_RESOLVED;
    if (view->now_ms < view->expires_at_ms)
        return RC_INVALID_FIELD;
    view_post_leg(view, 0, hold_units(view, 0));
    view_post_child(view, 0, -hold_units(view, 0));
    return RC_OK;
}
