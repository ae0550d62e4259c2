// The arithmetic of orders.
#include "domain/order.h"

int64_t share_of(int64_t sum, int64_t part, int64_t whole)
{
    return whole == 0 ? 0 : (int64_t)((__int128)sum * part / whole);
}

int64_t terms_discount(const struct terms *terms, int64_t subtotal_cents)
{
    int64_t discount =
        terms->discount_cents + share_of(subtotal_cents, terms->discount_percent, 100);
    return discount < subtotal_cents ? discount : subtotal_cents;
}

bool terms_allow(const struct terms *terms, int64_t subtotal_cents, int64_t now_ms)
{
    return subtotal_cents >= terms->min_cents && now_ms >= terms->valid_from_ms &&
           (terms->valid_until_ms == 0 || now_ms < terms->valid_until_ms);
}

bool order_price(struct operation *operation)
{
    struct order *order = operation->record;
    bool complete = true;
    order->subtotal_cents = 0;
    for (size_t i = 0; i < order->n_lines; i++) {
        const struct order_line *line = &order->lines[i];
        struct leg *leg = operation_leg(operation, 1 + i);
        if (line->price_cents != PRICE_NONE) {
            order->subtotal_cents += line->price_cents * line->quantity;
            continue;
        }
        leg->barred = true;
        leg->refusal = RC_PRICE_MISSING;
        complete = false;
    }
    return complete;
}

int64_t order_units(const struct order *order)
{
    int64_t units = 0;
    for (size_t i = 0; i < order->n_lines; i++)
        units += order->lines[i].quantity;
    return units;
}

int64_t order_units_left(const struct order *order)
{
    int64_t units = order_units(order);
    for (size_t i = 0; i < order->n_lines; i++)
        units -= order->lines[i].refunded;
    return units;
}
