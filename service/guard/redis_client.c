// EVALSHA spares sending a script's source each time; the server forgets scripts when it restarts
// or is told to, so NOSCRIPT is answered with EVAL. The greeting of a new connection (AUTH, SELECT
// and SCRIPT LOAD, which teaches us the scripts' hashes) is sent together with the first question
// and costs no round trip.
#include "guard/redis_client.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SHA_LENGTH 40
#define WORD_MAX 128
#define FIXED_WORDS 3 // EVALSHA, the hash, the number of keys

struct link {
    struct link *next; // in the pool's idle list
    redisContext *context;
    bool greeted; // the greeting's replies have been read
    char sha[REDIS_SCRIPTS_MAX][SHA_LENGTH + 1];
};

struct redis_pool {
    const char *const *scripts;
    size_t n_scripts;
    char host[WORD_MAX], user[WORD_MAX], password[WORD_MAX], database[8];
    int port;
    pthread_mutex_t mutex;
    pthread_cond_t returned;
    struct link *idle;
    size_t n_links; // idle and in use
    bool failing;   // said once in the log, until it works again
};

// ---- the address --------------------------------------------------------------------------------

static bool parse_number(const char *text, int64_t low, int64_t high, int64_t *ret_number)
{
    return text_to_int64(text, ret_number) && *ret_number >= low && *ret_number <= high;
}

static bool parse_address(struct redis_pool *pool, const char *address)
{
    char text[4 * WORD_MAX];
    if (!text_copy(text, sizeof text, address))
        return false;
    char *host = text, *at = strrchr(text, '@');
    if (at != NULL) {
        *at = '\0';
        host = at + 1;
        char *colon = strchr(text, ':');
        if (colon == NULL)
            return false;
        *colon = '\0';
        if (!text_copy(pool->user, sizeof pool->user, text) ||
            !text_copy(pool->password, sizeof pool->password, colon + 1))
            return false;
    }
    int64_t number;
    char *slash = strchr(host, '/');
    if (slash != NULL) {
        *slash = '\0';
        if (!parse_number(slash + 1, 0, 99999, &number) ||
            !text_copy(pool->database, sizeof pool->database, slash + 1))
            return false;
    }
    char *colon = strrchr(host, ':');
    if (colon == NULL || colon == host || !parse_number(colon + 1, 1, 65535, &number))
        return false;
    *colon = '\0';
    pool->port = (int)number;
    return text_copy(pool->host, sizeof pool->host, host);
}

// ---- one connection -----------------------------------------------------------------------------

static void link_free(struct link *link)
{
    if (link == NULL)
        return;
    redisFree(link->context);
    free(link);
}

static struct timeval timeval_of(int64_t duration_ns)
{
    if (duration_ns < NS_PER_MS) // zero would mean for ever
        duration_ns = NS_PER_MS;
    return (struct timeval){duration_ns / NS_PER_S, (duration_ns % NS_PER_S) / 1000};
}

static void greet(const struct redis_pool *pool, redisContext *context)
{
    if (pool->user[0] != '\0')
        redisAppendCommand(context, "AUTH %s %s", pool->user, pool->password);
    else if (pool->password[0] != '\0')
        redisAppendCommand(context, "AUTH %s", pool->password);
    if (pool->database[0] != '\0')
        redisAppendCommand(context, "SELECT %s", pool->database);
    for (size_t i = 0; i < pool->n_scripts; i++)
        redisAppendCommand(context, "SCRIPT LOAD %s", pool->scripts[i]);
}

static void say_failing(struct redis_pool *pool, const char *why)
{
    pthread_mutex_lock(&pool->mutex);
    bool news = !pool->failing;
    pool->failing = true;
    pthread_mutex_unlock(&pool->mutex);
    if (news)
        LOG_WARNING("redis %s:%d does not answer: %s", pool->host, pool->port, why);
}

static struct link *link_new(struct redis_pool *pool, int64_t timeout_ns)
{
    struct link *link = calloc(1, sizeof *link);
    if (link == NULL)
        return NULL;
    link->context = redisConnectWithTimeout(pool->host, pool->port, timeval_of(timeout_ns));
    if (link->context == NULL || link->context->err != 0) {
        say_failing(pool, link->context != NULL ? link->context->errstr : "out of memory");
        redisFree(link->context);
        free(link);
        return NULL;
    }
    greet(pool, link->context);
    return link;
}

// NULL after any failure; the link must then be freed. Error replies are replies.
static redisReply *read_reply(struct link *link)
{
    void *reply = NULL;
    return redisGetReply(link->context, &reply) == REDIS_OK ? reply : NULL;
}

// False if the connection failed, or the server refused the greeting (a wrong password).
static bool read_greeting(struct redis_pool *pool, struct link *link)
{
    size_t n_logins = (pool->password[0] != '\0' ? 1U : 0U) + (pool->database[0] != '\0' ? 1U : 0U);
    for (size_t i = 0; i < n_logins + pool->n_scripts; i++) {
        redisReply *reply = read_reply(link);
        if (reply == NULL)
            return false;
        bool ok = reply->type != REDIS_REPLY_ERROR;
        if (!ok)
            say_failing(pool, reply->str);
        else if (i >= n_logins && reply->type == REDIS_REPLY_STRING)
            text_copy(link->sha[i - n_logins], SHA_LENGTH + 1, reply->str);
        freeReplyObject(reply);
        if (!ok)
            return false;
    }
    link->greeted = true;
    return true;
}

// ---- the pool -----------------------------------------------------------------------------------

enum rc redis_pool_new(const char *address, const char *const *scripts, size_t n_scripts,
                       struct redis_pool **ret_pool, char *ret_why, size_t size)
{
    struct redis_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return RC_NO_MEMORY;
    if (!parse_address(pool, address)) {
        free(pool);
        text_copy(ret_why, size, "redis: expected [[user]:password@]host:port[/database]");
        return RC_USAGE;
    }
    pool->scripts = scripts;
    pool->n_scripts = n_scripts;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->returned, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&pool->mutex, NULL);
    *ret_pool = pool;
    return RC_OK;
}

void redis_pool_free(struct redis_pool *pool)
{
    if (pool == NULL)
        return;
    while (pool->idle != NULL) {
        struct link *link = pool->idle;
        pool->idle = link->next;
        link_free(link);
    }
    pthread_cond_destroy(&pool->returned);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

// `fresh` asks for a new connection: after one was found broken the idle ones probably are too.
static struct link *borrow(struct redis_pool *pool, bool fresh, int64_t limit_ns)
{
    struct timespec limit = {limit_ns / NS_PER_S, limit_ns % NS_PER_S};
    struct link *link = NULL, *stale = NULL;
    pthread_mutex_lock(&pool->mutex);
    if (fresh) {
        for (stale = pool->idle, pool->idle = NULL, link = stale; link != NULL; link = link->next)
            pool->n_links--;
    }
    while (pool->idle == NULL && pool->n_links >= REDIS_CONNECTIONS_MAX)
        if (pthread_cond_timedwait(&pool->returned, &pool->mutex, &limit) != 0)
            break;
    link = pool->idle;
    bool make = link == NULL && pool->n_links < REDIS_CONNECTIONS_MAX;
    if (link != NULL)
        pool->idle = link->next;
    else if (make)
        pool->n_links++;
    pthread_mutex_unlock(&pool->mutex);
    while (stale != NULL) {
        struct link *next = stale->next;
        link_free(stale);
        stale = next;
    }
    if (!make)
        return link;
    link = link_new(pool, limit_ns - clock_now_ns());
    if (link == NULL) {
        pthread_mutex_lock(&pool->mutex);
        pool->n_links--;
        pthread_cond_signal(&pool->returned);
        pthread_mutex_unlock(&pool->mutex);
    }
    return link;
}

static void give_back(struct redis_pool *pool, struct link *link, bool usable)
{
    pthread_mutex_lock(&pool->mutex);
    bool recovered = usable && pool->failing;
    if (usable) {
        pool->failing = false;
        link->next = pool->idle;
        pool->idle = link;
    } else {
        pool->n_links--;
    }
    pthread_cond_signal(&pool->returned);
    pthread_mutex_unlock(&pool->mutex);
    if (!usable)
        link_free(link);
    if (recovered)
        LOG_INFO("redis %s:%d answers again", pool->host, pool->port);
}

// ---- questions ----------------------------------------------------------------------------------

static void append_script(const struct redis_pool *pool, struct link *link, size_t script,
                          bool source, const struct redis_arguments *arguments)
{
    const char *words[FIXED_WORDS + REDIS_ARGUMENTS_MAX];
    size_t lengths[FIXED_WORDS + REDIS_ARGUMENTS_MAX];
    char n_keys[24];
    text_format(n_keys, sizeof n_keys, "%zu", arguments->n_keys);
    words[0] = source ? "EVAL" : "EVALSHA";
    words[1] = source ? pool->scripts[script] : link->sha[script];
    words[2] = n_keys;
    memcpy(words + FIXED_WORDS, arguments->values, arguments->n * sizeof *words);
    for (size_t i = 0; i < FIXED_WORDS + arguments->n; i++)
        lengths[i] = strlen(words[i]);
    redisAppendCommandArgv(link->context, (int)(FIXED_WORDS + arguments->n), words, lengths);
}

static redisReply *ask(struct redis_pool *pool, struct link *link, size_t script,
                       const struct redis_arguments *arguments)
{
    bool source = !link->greeted || link->sha[script][0] == '\0';
    append_script(pool, link, script, source, arguments);
    if (!link->greeted && !read_greeting(pool, link))
        return NULL;
    redisReply *reply = read_reply(link);
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR &&
        strncmp(reply->str, "NOSCRIPT", strlen("NOSCRIPT")) == 0) {
        freeReplyObject(reply);
        append_script(pool, link, script, true, arguments);
        reply = read_reply(link);
    }
    return reply;
}

enum rc redis_run(struct redis_pool *pool, size_t script, const struct redis_arguments *arguments,
                  int64_t timeout_ns, int64_t *ret_integer, bool *ret_repeated)
{
    int64_t limit_ns = clock_now_ns() + timeout_ns;
    for (int attempt = 0; attempt < 2; attempt++) {
        struct link *link = borrow(pool, attempt > 0, limit_ns);
        if (link == NULL)
            return RC_BACKEND_UNAVAILABLE;
        if (ret_repeated != NULL)
            *ret_repeated = attempt > 0;
        redisSetTimeout(link->context, timeval_of(limit_ns - clock_now_ns()));
        redisReply *reply = ask(pool, link, script, arguments);
        if (reply != NULL) {
            bool answered = reply->type == REDIS_REPLY_INTEGER;
            if (answered)
                *ret_integer = reply->integer;
            else if (reply->type == REDIS_REPLY_ERROR) // loading, read-only, out of memory, ...
                say_failing(pool, reply->str);
            freeReplyObject(reply);
            give_back(pool, link, answered);
            return answered ? RC_OK : RC_BACKEND_UNAVAILABLE;
        }
        bool again = attempt == 0 && link->context->err != 0 && clock_now_ns() < limit_ns;
        if (!again && link->context->err != 0)
            say_failing(pool, clock_now_ns() < limit_ns ? link->context->errstr : "timed out");
        give_back(pool, link, false);
        if (!again)
            break;
    }
    return RC_BACKEND_UNAVAILABLE;
}
