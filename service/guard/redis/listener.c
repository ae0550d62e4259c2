// Listens on one Redis channel and wakes the waiters whose locks were granted.
//
// One thread sleeps in poll(2) on the connection and on an eventfd that stops it. It starts when
// the first waiter has to wait. An idle connection is checked with PING, because a network that
// drops packets reports no error. While there is no connection the channel is "": no waiter queues
// in Redis, and every waiter spins.
//
// What breaks it: a server that refuses SUBSCRIBE. The listener logs that once and retries for
// ever; until it succeeds the waiters spin.
#include "guard/redis/listener.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "base/text.h"
#include "guard/addresses.h"
#include "guard/redis/connection.h"

#include <hiredis/hiredis.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CONNECT_NS NS_PER_S
#define RETRY_MS 100
#define IDLE_MS 5000 // then PING; after twice that without a reply the connection is dead
#define WHY_MAX 200

struct redis_listener {
    const struct redis_address *address;
    char channel[48];
    int stop; // eventfd
    pthread_mutex_t mutex;
    pthread_t thread;
    struct redis_waiter *waiters;
    bool started, subscribed;
    uint64_t subscriptions; // how many so far
};

// ---- the waiters --------------------------------------------------------------------------------

static void set_subscribed(struct redis_listener *listener, bool subscribed)
{
    pthread_mutex_lock(&listener->mutex);
    listener->subscribed = subscribed;
    listener->subscriptions += subscribed;
    for (struct redis_waiter *waiter = listener->waiters; waiter != NULL; waiter = waiter->next) {
        waiter->connection_changed = true;
        pthread_cond_signal(&waiter->cond);
    }
    pthread_mutex_unlock(&listener->mutex);
}

// Cuts off the last word, a number above zero.
static bool cut_number(char *text, int64_t *ret_number)
{
    char *blank = strrchr(text, ' ');
    if (blank == NULL || !text_to_int64(blank + 1, ret_number) || *ret_number <= 0)
        return false;
    *blank = '\0';
    return true;
}

// The message is "OWNER ATTEMPT TOKEN". A grant without a registered waiter is dropped: the waiter
// is abandoning its claim, which frees the lock.
static void deliver(struct redis_listener *listener, char *message)
{
    int64_t token, attempt;
    if (!cut_number(message, &token) || !cut_number(message, &attempt))
        return;
    pthread_mutex_lock(&listener->mutex);
    struct redis_waiter *waiter = listener->waiters;
    while (waiter != NULL && strcmp(waiter->owner, message) != 0)
        waiter = waiter->next;
    if (waiter != NULL && waiter->attempts == attempt) {
        waiter->token = (uint64_t)token;
        pthread_cond_signal(&waiter->cond);
    }
    pthread_mutex_unlock(&listener->mutex);
}

// ---- the connection -----------------------------------------------------------------------------

static bool is_word(const redisReply *reply, size_t i, const char *word)
{
    return reply->type == REDIS_REPLY_ARRAY && i < reply->elements &&
           reply->element[i]->type == REDIS_REPLY_STRING &&
           strcmp(reply->element[i]->str, word) == 0;
}

// Connected and subscribed, or NULL with the reason.
static struct redis_connection *subscribe(struct redis_listener *listener, char *ret_why)
{
    struct redis_connection *connection =
        redis_connect(listener->address, CONNECT_NS, ret_why, WHY_MAX);
    if (connection == NULL)
        return NULL;
    redis_append(connection, "SUBSCRIBE %s", listener->channel);
    bool ok = true;
    for (size_t i = 0; ok && i < redis_login_replies(listener->address) + 1; i++) {
        redisReply *reply = redis_read_reply(connection);
        ok = reply != NULL && reply->type != REDIS_REPLY_ERROR;
        if (!ok)
            text_copy(ret_why, WHY_MAX, reply != NULL ? reply->str : connection->context->errstr);
        freeReplyObject(reply);
    }
    if (!ok) {
        redis_connection_free(connection);
        return NULL;
    }
    return connection;
}

// Delivers what has arrived. False when the connection has ended.
static bool read_messages(struct redis_listener *listener, struct redis_connection *connection)
{
    if (!redis_read_arrived(connection))
        return false;
    for (;;) {
        void *memory = NULL;
        if (redisGetReplyFromReader(connection->context, &memory) != REDIS_OK)
            return false;
        redisReply *reply = memory;
        if (reply == NULL)
            return true;
        if (is_word(reply, 0, "message") && reply->elements == 3 &&
            reply->element[2]->type == REDIS_REPLY_STRING)
            deliver(listener, reply->element[2]->str);
        freeReplyObject(reply);
    }
}

static bool send_ping(struct redis_connection *connection)
{
    redis_append(connection, "PING");
    return redis_flush(connection);
}

// Returns when the connection ends or the listener is stopped.
static void listen_to(struct redis_listener *listener, struct redis_connection *connection)
{
    bool pinged = false;
    for (;;) {
        struct pollfd fds[2] = {{.fd = connection->context->fd, .events = POLLIN},
                                {.fd = listener->stop, .events = POLLIN}};
        int n = poll(fds, ARRAY_LENGTH(fds), IDLE_MS);
        if (fds[1].revents != 0)
            return;
        if (n == 0) {
            if (pinged || !send_ping(connection))
                return;
            pinged = true;
        } else if (n > 0) {
            if (!read_messages(listener, connection))
                return;
            pinged = false;
        }
    }
}

static bool stopped_within(struct redis_listener *listener, int timeout_ms)
{
    struct pollfd stop = {.fd = listener->stop, .events = POLLIN};
    return poll(&stop, 1, timeout_ms) > 0;
}

static void *listener_main(void *arg)
{
    struct redis_listener *listener = arg;
    bool logged = false;
    while (!stopped_within(listener, 0)) {
        char why[WHY_MAX];
        struct redis_connection *connection = subscribe(listener, why);
        if (connection != NULL) {
            set_subscribed(listener, true);
            listen_to(listener, connection);
            set_subscribed(listener, false);
            redis_connection_free(connection);
            logged = false;
        } else if (!logged) {
            LOG_WARNING("redis %s: cannot subscribe: %s", listener->address->label, why);
            logged = true;
        }
        if (stopped_within(listener, RETRY_MS))
            break;
    }
    return NULL;
}

// ---- the listener -------------------------------------------------------------------------------

enum rc redis_listener_new(const struct redis_address *address,
                           struct redis_listener **ret_listener)
{
    struct redis_listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL)
        return RC_NO_MEMORY;
    listener->address = address;
    listener->stop = eventfd(0, EFD_CLOEXEC);
    if (listener->stop < 0) {
        free(listener);
        return RC_INTERNAL;
    }
    uint64_t number[2];
    random_bytes(number, sizeof number);
    text_format(listener->channel, sizeof listener->channel, "holdfast:grants:%08lx%08lx",
                (unsigned long)(uint32_t)number[0], (unsigned long)(uint32_t)number[1]);
    pthread_mutex_init(&listener->mutex, NULL);
    *ret_listener = listener;
    return RC_OK;
}

void redis_listener_free(struct redis_listener *listener)
{
    if (listener == NULL)
        return;
    if (listener->started) {
        (void)!eventfd_write(listener->stop, 1);
        pthread_join(listener->thread, NULL);
    }
    close(listener->stop);
    pthread_mutex_destroy(&listener->mutex);
    free(listener);
}

const char *redis_listener_channel(struct redis_listener *listener, bool start)
{
    pthread_mutex_lock(&listener->mutex);
    if (start && !listener->started)
        listener->started = pthread_create(&listener->thread, NULL, listener_main, listener) == 0;
    bool subscribed = listener->subscribed;
    pthread_mutex_unlock(&listener->mutex);
    return subscribed ? listener->channel : "";
}

uint64_t redis_listener_reconnects(struct redis_listener *listener)
{
    pthread_mutex_lock(&listener->mutex);
    uint64_t subscriptions = listener->subscriptions;
    pthread_mutex_unlock(&listener->mutex);
    return subscriptions > 0 ? subscriptions - 1 : 0;
}

void redis_listener_register(struct redis_listener *listener, struct redis_waiter *waiter,
                             const char *owner)
{
    *waiter = (struct redis_waiter){.owner = owner};
    pthread_cond_init(&waiter->cond, NULL);
    pthread_mutex_lock(&listener->mutex);
    waiter->next = listener->waiters;
    listener->waiters = waiter;
    pthread_mutex_unlock(&listener->mutex);
}

unsigned redis_listener_attempt(struct redis_listener *listener, struct redis_waiter *waiter)
{
    pthread_mutex_lock(&listener->mutex);
    unsigned number = ++waiter->attempts;
    waiter->token = 0;
    pthread_mutex_unlock(&listener->mutex);
    return number;
}

void redis_listener_unregister(struct redis_listener *listener, struct redis_waiter *waiter)
{
    pthread_mutex_lock(&listener->mutex);
    struct redis_waiter **at = &listener->waiters;
    while (*at != waiter)
        at = &(*at)->next;
    *at = waiter->next;
    pthread_mutex_unlock(&listener->mutex);
    pthread_cond_destroy(&waiter->cond);
}

uint64_t redis_listener_wait(struct redis_listener *listener, struct redis_waiter *waiter,
                             int64_t until_ns)
{
    pthread_mutex_lock(&listener->mutex);
    while (waiter->token == 0 && !waiter->connection_changed &&
           clock_wait(&waiter->cond, &listener->mutex, until_ns))
        continue;
    waiter->connection_changed = false;
    uint64_t token = waiter->token;
    pthread_mutex_unlock(&listener->mutex);
    return token;
}
