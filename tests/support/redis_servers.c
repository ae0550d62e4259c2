// Private Redis servers. Each is a child process that dies with the test program, however that
// ends.
#include "redis_servers.h"

#include "scratch.h"

#include "base/clock.h"
#include "base/text.h"

#include <check.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRIES 600
#define TRY_NS (10 * NS_PER_MS)

static void run_server(const char *port)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int nowhere = open("/dev/null", O_RDWR);
    dup2(nowhere, STDOUT_FILENO);
    execlp("redis-server", "redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "",
           "--appendonly", "no", (char *)NULL);
    _exit(127);
}

static bool answers(int port)
{
    redisContext *context = redisConnect("127.0.0.1", port);
    redisReply *reply = context != NULL && context->err == 0 ? redisCommand(context, "PING") : NULL;
    bool pong = reply != NULL && reply->type == REDIS_REPLY_STATUS;
    freeReplyObject(reply);
    redisFree(context);
    return pong;
}

void redis_server_restart(struct redis_servers *servers, size_t i)
{
    char port[12];
    text_format(port, sizeof port, "%d", servers->ports[i]);
    redis_server_kill(servers, i);
    servers->pids[i] = fork();
    ck_assert_int_ge(servers->pids[i], 0);
    if (servers->pids[i] == 0)
        run_server(port);
    int tries = 0;
    while (!answers(servers->ports[i])) {
        ck_assert_msg(++tries < TRIES && waitpid(servers->pids[i], NULL, WNOHANG) == 0,
                      "redis-server does not start");
        clock_sleep_ns(TRY_NS);
    }
}

void redis_servers_start(struct redis_servers *servers, size_t n)
{
    *servers = (struct redis_servers){.n = n};
    for (size_t i = 0; i < n; i++) {
        servers->ports[i] = scratch_port();
        redis_server_restart(servers, i);
        size_t used = strlen(servers->addresses);
        text_format(servers->addresses + used, sizeof servers->addresses - used, "%s127.0.0.1:%d",
                    i > 0 ? "," : "", servers->ports[i]);
    }
}

void redis_servers_stop(struct redis_servers *servers)
{
    for (size_t i = 0; i < servers->n; i++)
        redis_server_kill(servers, i);
}

void redis_server_kill(struct redis_servers *servers, size_t i)
{
    if (servers->pids[i] == 0)
        return;
    kill(servers->pids[i], SIGKILL);
    waitpid(servers->pids[i], NULL, 0);
    servers->pids[i] = 0;
}

void redis_server_pause(struct redis_servers *servers, size_t i)
{
    int status;
    kill(servers->pids[i], SIGSTOP);
    ck_assert_int_eq(waitpid(servers->pids[i], &status, WUNTRACED), servers->pids[i]);
}

void redis_server_resume(struct redis_servers *servers, size_t i)
{
    kill(servers->pids[i], SIGCONT);
}

static redisReply *command(int port, const char *format, va_list arguments)
{
    redisContext *context = redisConnect("127.0.0.1", port);
    ck_assert(context != NULL && context->err == 0);
    redisReply *reply = redisvCommand(context, format, arguments);
    ck_assert_msg(reply != NULL && reply->type != REDIS_REPLY_ERROR, "%s", format);
    redisFree(context);
    return reply;
}

long long redis_tell(int port, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = command(port, format, arguments);
    va_end(arguments);
    long long number = 0;
    if (reply->type == REDIS_REPLY_INTEGER)
        number = reply->integer;
    else if (reply->type == REDIS_REPLY_STRING)
        number = strtoll(reply->str, NULL, 10);
    else if (reply->type == REDIS_REPLY_STATUS)
        number = 1;
    freeReplyObject(reply);
    return number;
}

void redis_read(int port, char *ret_text, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = command(port, format, arguments);
    va_end(arguments);
    text_copy(ret_text, size, reply->type == REDIS_REPLY_STRING ? reply->str : "");
    freeReplyObject(reply);
}
