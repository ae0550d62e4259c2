// EVALSHA spares sending a script's source each time; the server forgets scripts when it restarts
// or is told to, so NOSCRIPT is answered with EVAL. The greeting of a new connection (AUTH, SELECT
// and SCRIPT LOAD, which teaches us the scripts' hashes) is sent together with the first question
// and costs no round trip.
#include "guard/redis/client.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "guard/redis/connection.h"

#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SHA_LENGTH 40
#define WHY_MAX 200
#define FIXED_WORDS 3 // EVALSHA, the hash, the number of keys

struct redis_link {
    struct redis_link *next; // in the pool's idle list
    redisContext *context;
    bool greeted; // the greeting's replies have been read
    char sha[REDIS_SCRIPTS_MAX][SHA_LENGTH + 1];
};

struct redis_pool {
    const char *const *scripts;
    size_t n_scripts;
    struct redis_address address;
    pthread_mutex_t mutex;
    pthread_cond_t returned;
    struct redis_link *idle;
    size_t n_links; // idle and in use
    uint64_t lost, remade;
    bool failing; // said once in the log, until it works again
};

// ---- one connection -----------------------------------------------------------------------------

static void link_free(struct redis_link *link)
{
    if (link == NULL)
        return;
    redisFree(link->context);
    free(link);
}

static void say_failing(struct redis_pool *pool, const char *why)
{
    pthread_mutex_lock(&pool->mutex);
    bool news = !pool->failing;
    pool->failing = true;
    pthread_mutex_unlock(&pool->mutex);
    if (news)
        LOG_WARNING("redis %s:%d does not answer: %s", pool->address.host, pool->address.port, why);
}

static struct redis_link *link_new(struct redis_pool *pool, int64_t timeout_ns)
{
    struct redis_link *link = calloc(1, sizeof *link);
    if (link == NULL)
        return NULL;
    char why[WHY_MAX];
    link->context = redis_connect(&pool->address, timeout_ns, why, sizeof why);
    if (link->context == NULL) {
        say_failing(pool, why);
        free(link);
        return NULL;
    }
    for (size_t i = 0; i < pool->n_scripts; i++)
        redisAppendCommand(link->context, "SCRIPT LOAD %s", pool->scripts[i]);
    return link;
}

// NULL after any failure; the link must then be freed. Error replies are replies.
static redisReply *read_reply(struct redis_link *link)
{
    void *reply = NULL;
    return redisGetReply(link->context, &reply) == REDIS_OK ? reply : NULL;
}

// False if the connection failed, or the server refused the greeting (a wrong password).
static bool read_greeting(struct redis_pool *pool, struct redis_link *link)
{
    size_t n_logins = redis_login_replies(&pool->address);
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
    if (!redis_address_parse(address, &pool->address)) {
        free(pool);
        text_copy(ret_why, size, "redis: expected [[user]:password@]host:port[/database]");
        return RC_USAGE;
    }
    pool->scripts = scripts;
    pool->n_scripts = n_scripts;
    pthread_cond_init(&pool->returned, NULL);
    pthread_mutex_init(&pool->mutex, NULL);
    *ret_pool = pool;
    return RC_OK;
}

void redis_pool_free(struct redis_pool *pool)
{
    if (pool == NULL)
        return;
    while (pool->idle != NULL) {
        struct redis_link *link = pool->idle;
        pool->idle = link->next;
        link_free(link);
    }
    pthread_cond_destroy(&pool->returned);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

const struct redis_address *redis_pool_address(const struct redis_pool *pool)
{
    return &pool->address;
}

uint64_t redis_pool_reconnects(struct redis_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    uint64_t remade = pool->remade;
    pthread_mutex_unlock(&pool->mutex);
    return remade;
}

// A connection more than were lost is one more in use, and no news.
static void count_made(struct redis_pool *pool, bool made)
{
    pthread_mutex_lock(&pool->mutex);
    if (!made) {
        pool->n_links--;
        pthread_cond_signal(&pool->returned);
    } else if (pool->lost > 0) {
        pool->lost--;
        pool->remade++;
    }
    pthread_mutex_unlock(&pool->mutex);
}

// `fresh` asks for a new connection: after one was found broken the idle ones probably are too.
static struct redis_link *borrow(struct redis_pool *pool, bool fresh, int64_t limit_ns)
{
    struct redis_link *link = NULL, *stale = NULL;
    pthread_mutex_lock(&pool->mutex);
    if (fresh) {
        for (stale = pool->idle, pool->idle = NULL, link = stale; link != NULL; link = link->next) {
            pool->n_links--;
            pool->lost++;
        }
    }
    while (pool->idle == NULL && pool->n_links >= REDIS_CONNECTIONS_MAX)
        if (!clock_wait(&pool->returned, &pool->mutex, limit_ns))
            break;
    link = pool->idle;
    bool make = link == NULL && pool->n_links < REDIS_CONNECTIONS_MAX;
    if (link != NULL)
        pool->idle = link->next;
    else if (make)
        pool->n_links++;
    pthread_mutex_unlock(&pool->mutex);
    while (stale != NULL) {
        struct redis_link *next = stale->next;
        link_free(stale);
        stale = next;
    }
    if (!make)
        return link;
    link = link_new(pool, limit_ns - clock_now_ns());
    count_made(pool, link != NULL);
    return link;
}

static void give_back(struct redis_pool *pool, struct redis_link *link, bool usable)
{
    pthread_mutex_lock(&pool->mutex);
    bool recovered = usable && pool->failing;
    if (usable) {
        pool->failing = false;
        link->next = pool->idle;
        pool->idle = link;
    } else {
        pool->n_links--;
        pool->lost++;
    }
    pthread_cond_signal(&pool->returned);
    pthread_mutex_unlock(&pool->mutex);
    if (!usable)
        link_free(link);
    if (recovered)
        LOG_INFO("redis %s:%d answers again", pool->address.host, pool->address.port);
}

// ---- questions ----------------------------------------------------------------------------------

static void append_script(const struct redis_pool *pool, struct redis_link *link, size_t script,
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

// Asks, and sends as much as the socket takes; the rest goes when the answer is waited for. What
// fails here fails again there.
static void put(const struct redis_question *question)
{
    const struct redis_pool *pool = question->pool;
    struct redis_link *link = question->link;
    redisSetTimeout(link->context, redis_timeval(question->limit_ns - clock_now_ns()));
    bool source = !link->greeted || link->sha[question->script][0] == '\0';
    append_script(pool, link, question->script, source, question->arguments);
    int done = 0;
    while (done == 0 && redisBufferWrite(link->context, &done) == REDIS_OK)
        continue;
}

static redisReply *get(const struct redis_question *question)
{
    struct redis_pool *pool = question->pool;
    struct redis_link *link = question->link;
    if (!link->greeted && !read_greeting(pool, link))
        return NULL;
    redisReply *reply = read_reply(link);
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR &&
        strncmp(reply->str, "NOSCRIPT", strlen("NOSCRIPT")) == 0) {
        freeReplyObject(reply);
        append_script(pool, link, question->script, true, question->arguments);
        reply = read_reply(link);
    }
    return reply;
}

void redis_send(struct redis_pool *pool, size_t script, const struct redis_arguments *arguments,
                int64_t reach_ns, int64_t limit_ns, struct redis_question *ret_question)
{
    *ret_question = (struct redis_question){pool, script, arguments, limit_ns, NULL};
    ret_question->link = borrow(pool, false, reach_ns);
    if (ret_question->link != NULL)
        put(ret_question);
}

// Takes the reply and gives the connection back.
static enum rc settle(const struct redis_question *question, redisReply *reply,
                      int64_t *ret_integer)
{
    bool answered = reply->type == REDIS_REPLY_INTEGER;
    if (answered)
        *ret_integer = reply->integer;
    else if (reply->type == REDIS_REPLY_ERROR) // loading, read-only, out of memory, ...
        say_failing(question->pool, reply->str);
    freeReplyObject(reply);
    give_back(question->pool, question->link, answered);
    return answered ? RC_OK : RC_BACKEND_UNAVAILABLE;
}

enum rc redis_receive(struct redis_question *question, int64_t *ret_integer, bool *ret_repeated)
{
    struct redis_pool *pool = question->pool;
    *ret_repeated = false;
    while (question->link != NULL) {
        redisReply *reply = get(question);
        if (reply != NULL)
            return settle(question, reply, ret_integer);
        bool broken = question->link->context->err != 0;
        bool late = clock_now_ns() >= question->limit_ns;
        bool again = broken && !late && !*ret_repeated;
        if (broken && !again)
            say_failing(pool, late ? "timed out" : question->link->context->errstr);
        give_back(pool, question->link, false);
        question->link = again ? borrow(pool, true, question->limit_ns) : NULL;
        if (question->link != NULL) {
            *ret_repeated = true;
            put(question);
        }
    }
    return RC_BACKEND_UNAVAILABLE;
}
