// A pool of connections to one Redis server, and the scripts in flight on them.
//
// EVALSHA saves sending a script's source each time. The server forgets scripts when it restarts or
// on SCRIPT FLUSH, so NOSCRIPT is answered with EVAL. The handshake of a new connection (AUTH,
// SELECT and SCRIPT LOAD, which returns the scripts' hashes) is pipelined with the first script and
// costs no round trip.
#include "guard/redis/client.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "guard/addresses.h"
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
    struct redis_connection *connection;
    bool ready; // the replies to the handshake have been read
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
    uint64_t lost, replaced;
    bool failing;      // logged once, until it is well again
    int64_t failed_ns; // monotonic: the last failure
    char why[WHY_MAX]; // its words
};

// A server that refuses some scripts and answers others is not well. Only after so long without a
// failure is it called well again.
#define QUIET_NS (3 * NS_PER_S)

// ---- one connection -----------------------------------------------------------------------------

static void link_free(struct redis_link *link)
{
    if (link == NULL)
        return;
    redis_connection_free(link->connection);
    free(link);
}

static void report_failure(struct redis_pool *pool, const char *why)
{
    pthread_mutex_lock(&pool->mutex);
    bool news = !pool->failing;
    pool->failing = true;
    pool->failed_ns = clock_now_ns();
    text_format(pool->why, sizeof pool->why, "%s", why);
    pthread_mutex_unlock(&pool->mutex);
    if (news)
        LOG_WARNING("redis %s cannot be used: %s", pool->address.label, why);
}

static struct redis_link *link_new(struct redis_pool *pool, int64_t timeout_ns)
{
    struct redis_link *link = calloc(1, sizeof *link);
    if (link == NULL)
        return NULL;
    char why[WHY_MAX];
    link->connection = redis_connect(&pool->address, timeout_ns, why, sizeof why);
    if (link->connection == NULL) {
        report_failure(pool, why);
        free(link);
        return NULL;
    }
    for (size_t i = 0; i < pool->n_scripts; i++)
        redis_append(link->connection, "SCRIPT LOAD %s", pool->scripts[i]);
    return link;
}

// NULL after any failure; the caller must then free the link. An error reply is a reply.
static redisReply *read_reply(struct redis_link *link)
{
    return redis_read_reply(link->connection);
}

// False if the connection failed or the server rejected the handshake (a wrong password).
static bool read_handshake(struct redis_pool *pool, struct redis_link *link)
{
    size_t n_logins = redis_login_replies(&pool->address);
    for (size_t i = 0; i < n_logins + pool->n_scripts; i++) {
        redisReply *reply = read_reply(link);
        if (reply == NULL)
            return false;
        bool ok = reply->type != REDIS_REPLY_ERROR;
        char why[WHY_MAX];
        if (!ok && text_format(why, sizeof why, "%.100s%s", reply->str, redis_remedy(reply->str)))
            report_failure(pool, why);
        else if (i >= n_logins && reply->type == REDIS_REPLY_STRING)
            text_copy(link->sha[i - n_logins], SHA_LENGTH + 1, reply->str);
        freeReplyObject(reply);
        if (!ok)
            return false;
    }
    link->ready = true;
    return true;
}

// ---- the pool -----------------------------------------------------------------------------------

enum rc redis_pool_new(const struct redis_address *address, const char *const *scripts,
                       size_t n_scripts, struct redis_pool **ret_pool)
{
    struct redis_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return RC_NO_MEMORY;
    pool->address = *address;
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

void redis_pool_why(struct redis_pool *pool, char *ret_why, size_t size)
{
    pthread_mutex_lock(&pool->mutex);
    text_format(ret_why, size, "%s", pool->why);
    pthread_mutex_unlock(&pool->mutex);
}

uint64_t redis_pool_reconnects(struct redis_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    uint64_t replaced = pool->replaced;
    pthread_mutex_unlock(&pool->mutex);
    return replaced;
}

// A new connection replaces a lost one, if any was lost; else the pool has grown.
static void count_made(struct redis_pool *pool, bool made)
{
    pthread_mutex_lock(&pool->mutex);
    if (!made) {
        pool->n_links--;
        pthread_cond_signal(&pool->returned);
    } else if (pool->lost > 0) {
        pool->lost--;
        pool->replaced++;
    }
    pthread_mutex_unlock(&pool->mutex);
}

// `fresh` demands a new connection: after one was found broken, the idle ones probably are too.
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

static void give_link_back(struct redis_pool *pool, struct redis_link *link, bool usable)
{
    pthread_mutex_lock(&pool->mutex);
    bool recovered = usable && pool->failing && clock_now_ns() - pool->failed_ns > QUIET_NS;
    if (recovered)
        pool->failing = false;
    if (usable) {
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
        LOG_INFO("redis %s can be used again", pool->address.label);
}

// ---- scripts in flight --------------------------------------------------------------------------

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
    redis_append_words(link->connection, FIXED_WORDS + arguments->n, words, lengths);
}

// Sends as much as the socket takes; read_answer sends the rest. A failure here shows again there.
static void send_call(const struct redis_call *call)
{
    const struct redis_pool *pool = call->pool;
    struct redis_link *link = call->link;
    redis_limit(link->connection, call->limit_ns - clock_now_ns());
    bool source = !link->ready || link->sha[call->script][0] == '\0';
    append_script(pool, link, call->script, source, call->arguments);
    (void)!redis_flush(link->connection);
}

static redisReply *read_answer(const struct redis_call *call)
{
    struct redis_pool *pool = call->pool;
    struct redis_link *link = call->link;
    if (!link->ready && !read_handshake(pool, link))
        return NULL;
    redisReply *reply = read_reply(link);
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR &&
        strncmp(reply->str, "NOSCRIPT", strlen("NOSCRIPT")) == 0) {
        freeReplyObject(reply);
        append_script(pool, link, call->script, true, call->arguments);
        reply = read_reply(link);
    }
    return reply;
}

void redis_send(struct redis_pool *pool, size_t script, const struct redis_arguments *arguments,
                int64_t connect_by_ns, int64_t limit_ns, struct redis_call *ret_call)
{
    *ret_call = (struct redis_call){pool, script, arguments, limit_ns, NULL};
    ret_call->link = borrow(pool, false, connect_by_ns);
    if (ret_call->link != NULL)
        send_call(ret_call);
}

// Takes the reply and returns the connection to the pool.
static enum rc finish(const struct redis_call *call, redisReply *reply, int64_t *ret_integer)
{
    bool answered = reply->type == REDIS_REPLY_INTEGER;
    if (answered)
        *ret_integer = reply->integer;
    else if (reply->type == REDIS_REPLY_ERROR) // loading, read-only, out of memory, ...
        report_failure(call->pool, reply->str);
    freeReplyObject(reply);
    give_link_back(call->pool, call->link, answered);
    return answered ? RC_OK : RC_BACKEND_UNAVAILABLE;
}

enum rc redis_receive(struct redis_call *call, int64_t *ret_integer, bool *ret_repeated)
{
    struct redis_pool *pool = call->pool;
    *ret_repeated = false;
    while (call->link != NULL) {
        redisReply *reply = read_answer(call);
        if (reply != NULL)
            return finish(call, reply, ret_integer);
        bool broken = call->link->connection->context->err != 0;
        bool late = clock_now_ns() >= call->limit_ns;
        bool retry = broken && !late && !*ret_repeated;
        if (broken && !retry)
            report_failure(pool, late ? "timed out" : call->link->connection->context->errstr);
        give_link_back(pool, call->link, false);
        call->link = retry ? borrow(pool, true, call->limit_ns) : NULL;
        if (call->link != NULL) {
            *ret_repeated = true;
            send_call(call);
        }
    }
    return RC_BACKEND_UNAVAILABLE;
}
