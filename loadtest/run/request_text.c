// The table of the scenarios' requests.
#include "run/request_text.h"

#define KEY_AND_TYPE "Content-Type: application/json\nIdempotency-Key: {{key}}\n\n"

static const char *const texts[] = {
    [REQUEST_DEDUCT] = "POST /v1/stock/{{resource}}/deduct\n" KEY_AND_TYPE
                       "{\"quantity\":{{quantity}},\"user_id\":\"{{user}}\"}",
    [REQUEST_READ] = "GET /v1/stock/{{resource}}\n",
    [REQUEST_ISSUE] =
        "POST /v1/coupons/{{resource}}/issue\n" KEY_AND_TYPE "{\"user_id\":\"{{user}}\"}",
    [REQUEST_DRAW] =
        "POST /v1/lotteries/{{resource}}/draw\n" KEY_AND_TYPE "{\"user_id\":\"{{user}}\"}",
    [REQUEST_EARN] = "POST /v1/points/{{user}}/earn\n" KEY_AND_TYPE "{\"points\":{{quantity}}}",
    [REQUEST_SPEND] = "POST /v1/points/{{user}}/spend\n" KEY_AND_TYPE "{\"points\":{{quantity}}}",
    [REQUEST_TRANSFER] = "POST /v1/points/transfers\n" KEY_AND_TYPE
                         "{\"from\":\"{{user}}\",\"to\":\"{{resource}}\",\"points\":{{quantity}}}",
    [REQUEST_READ_POINTS] = "GET /v1/points/{{user}}\n",
    [REQUEST_RESERVE] = "POST /v1/reservations\n" KEY_AND_TYPE "{{body}}",
    [REQUEST_CONFIRM] = "POST /v1/reservations/{{resource}}/confirm\n" KEY_AND_TYPE "{{body}}",
    [REQUEST_RELEASE] = "POST /v1/reservations/{{resource}}/release\n" KEY_AND_TYPE "{}",
    [REQUEST_EXTEND] = "POST /v1/reservations/{{resource}}/extend\n" KEY_AND_TYPE "{{body}}",
    [REQUEST_ORDER] = "POST /v1/orders\n" KEY_AND_TYPE "{{body}}",
    [REQUEST_CANCEL] = "POST /v1/orders/{{resource}}/cancel\n" KEY_AND_TYPE "{{body}}",
    [REQUEST_REFUND] = "POST /v1/orders/{{resource}}/refunds\n" KEY_AND_TYPE "{{body}}",
    [REQUEST_REDEEM] = "POST /v1/coupons/redeem\n" KEY_AND_TYPE "{{body}}",
    [REQUEST_ROLLBACK] = "POST /v1/redemptions/{{resource}}/rollback\n" KEY_AND_TYPE "{}",
};

const char *request_text(size_t number)
{
    return texts[number];
}

size_t request_text_of(enum attempt_kind kind)
{
    static const size_t found[KIND_COUNT] = {
        [KIND_DEDUCT] = REQUEST_DEDUCT,     [KIND_RESERVE] = REQUEST_RESERVE,
        [KIND_CONFIRM] = REQUEST_CONFIRM,   [KIND_RELEASE] = REQUEST_RELEASE,
        [KIND_EXTEND] = REQUEST_EXTEND,     [KIND_ORDER] = REQUEST_ORDER,
        [KIND_CANCEL] = REQUEST_CANCEL,     [KIND_REFUND] = REQUEST_REFUND,
        [KIND_ROLLBACK] = REQUEST_ROLLBACK,
    };
    return found[kind];
}
