// What an operation on an order needs besides the call's operation and job: its legs, and the
// order.
#pragma once

#include "base/cleanup.h"
#include "domain/order.h"
#include "engine/job.h"
#include "http/api/lines.h"
#include "store/tables/reservation.h"

struct call;

struct basket {
    struct order order;
    struct refund refund;
    struct lines lines;
    char code[COUPON_CODE_MAX + 1], reservation_id[ID_MAX + 1], reason[201];
    int64_t points, points_earn;
    int64_t points_due_before; // earned points that earlier refunds have claimed
    bool give_code_back;
    int64_t refund_lines[ORDER_LINES_MAX], restock_lines[ORDER_LINES_MAX]; // units
    struct reservation reservation;
    size_t n; // legs
    char holds[ORDER_LINES_MAX][COUNTER_NAME_MAX + 1];
    struct leg more[LEGS_MAX - 1];
    struct job_link links[LEGS_MAX - 1];
};

// The call's input. NULL without memory.
struct basket *basket_new(struct call *call);

// The next leg of the call's operation, zeroed but for its counter: "stock" and "SKU-1" name
// stock/SKU-1.
struct leg *basket_add(struct call *call, const char *noun, const char *id);

// Forgets the legs, so that they can be made again.
void basket_clear(struct call *call);
