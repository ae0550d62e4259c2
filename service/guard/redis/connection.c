// Parses the address of a Redis server and connects to it.
//
// Every reconnect goes through redis_connect, which logs in and sets the timeouts again: hiredis'
// own redisReconnect forgets both. AUTH and SELECT are pipelined with the first command.
#include "guard/redis/connection.h"

#include "base/clock.h"
#include "base/text.h"

#include <hiredis/hiredis.h>
#include <string.h>

static bool parse_number(const char *text, int64_t low, int64_t high, int64_t *ret_number)
{
    return text_to_int64(text, ret_number) && *ret_number >= low && *ret_number <= high;
}

bool redis_address_parse(const char *text, struct redis_address *ret_address)
{
    struct redis_address address = {.port = 0};
    char copy[4 * REDIS_WORD_MAX];
    if (!text_copy(copy, sizeof copy, text))
        return false;
    char *host = copy, *at = strrchr(copy, '@');
    if (at != NULL) {
        *at = '\0';
        host = at + 1;
        char *colon = strchr(copy, ':');
        if (colon == NULL)
            return false;
        *colon = '\0';
        if (!text_copy(address.user, sizeof address.user, copy) ||
            !text_copy(address.password, sizeof address.password, colon + 1))
            return false;
    }
    int64_t number;
    char *slash = strchr(host, '/');
    if (slash != NULL) {
        *slash = '\0';
        if (!parse_number(slash + 1, 0, 99999, &number) ||
            !text_copy(address.database, sizeof address.database, slash + 1))
            return false;
    }
    char *colon = strrchr(host, ':');
    if (colon == NULL || colon == host || !parse_number(colon + 1, 1, 65535, &number))
        return false;
    *colon = '\0';
    address.port = (int)number;
    if (!text_copy(address.host, sizeof address.host, host))
        return false;
    *ret_address = address;
    return true;
}

struct timeval redis_timeval(int64_t duration_ns)
{
    if (duration_ns < NS_PER_MS)
        duration_ns = NS_PER_MS;
    return (struct timeval){duration_ns / NS_PER_S, (duration_ns % NS_PER_S) / 1000};
}

struct redisContext *redis_connect(const struct redis_address *address, int64_t timeout_ns,
                                   char *ret_why, size_t size)
{
    redisContext *context =
        redisConnectWithTimeout(address->host, address->port, redis_timeval(timeout_ns));
    if (context == NULL || context->err != 0) {
        text_copy(ret_why, size, context != NULL ? context->errstr : "out of memory");
        redisFree(context);
        return NULL;
    }
    redisSetTimeout(context, redis_timeval(timeout_ns));
    if (address->user[0] != '\0')
        redisAppendCommand(context, "AUTH %s %s", address->user, address->password);
    else if (address->password[0] != '\0')
        redisAppendCommand(context, "AUTH %s", address->password);
    if (address->database[0] != '\0')
        redisAppendCommand(context, "SELECT %s", address->database);
    return context;
}

size_t redis_login_replies(const struct redis_address *address)
{
    bool logs_in = address->user[0] != '\0' || address->password[0] != '\0';
    return (logs_in ? 1U : 0U) + (address->database[0] != '\0' ? 1U : 0U);
}
