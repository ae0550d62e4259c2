// Connects to a Redis server.
//
// Every reconnect goes through redis_connect, which logs in and sets the timeouts again: hiredis'
// own redisReconnect forgets both. AUTH and SELECT are pipelined with the first command.
#include "guard/redis/connection.h"

#include "base/clock.h"
#include "base/text.h"
#include "guard/addresses.h"

#include <hiredis/hiredis.h>
#include <string.h>

struct timeval redis_timeval(int64_t duration_ns)
{
    if (duration_ns < NS_PER_MS)
        duration_ns = NS_PER_MS;
    return (struct timeval){duration_ns / NS_PER_S, (duration_ns % NS_PER_S) / 1000};
}

struct redisContext *redis_connect(const struct redis_address *address, int64_t timeout_ns,
                                   char *ret_why, size_t size)
{
    struct timeval timeout = redis_timeval(timeout_ns);
    redisContext *context = address->port == 0
                                ? redisConnectUnixWithTimeout(address->host, timeout)
                                : redisConnectWithTimeout(address->host, address->port, timeout);
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

const char *redis_remedy(const char *error)
{
    static const struct {
        const char *part, *remedy;
    } remedies[] = {
        {"NOAUTH", "; give the password: redis://:password@host"},
        {"WRONGPASS", "; check the user and the password"},
        {"invalid password", "; check the password"},
        {"without any password configured", "; leave the password out"},
        {"NOPERM", "; give the user the rights: ~holdfast:* &holdfast:* +@all"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(remedies); i++)
        if (strstr(error, remedies[i].part) != NULL)
            return remedies[i].remedy;
    return "";
}
