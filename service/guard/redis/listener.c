// One thread sleeps in poll(2) on the connection and on an eventfd that ends it. It is made when
// somebody first has to wait. A connection that has been still for a while is asked with PING: a
// network that drops packets says nothing by itself. While there is none the channel is "", nobody
// stands in line, and who waits spins.
//
// What breaks it: a server that does not let us SUBSCRIBE. It is said once in the log, tried again
// for ever, and waiting stays a spin.
#include "guard/redis/listener.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "base/text.h"
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
#define STILL_MS 5000 // then PING; twice that without a word is a dead connection
#define WHY_MAX 200

struct redis_listener {
    const struct redis_address *address;
    char channel[48];
    int stop; // eventfd
    pthread_mutex_t mutex;
    pthread_t thread;
    struct redis_grant *grants;
    bool started, hears;
    uint64_t times; // that it began to hear
};

// ---- who waits ----------------------------------------------------------------------------------

static void set_hears(struct redis_listener *listener, bool hears)
{
    pthread_mutex_lock(&listener->mutex);
    listener->hears = hears;
    listener->times += hears;
    for (struct redis_grant *grant = listener->grants; grant != NULL; grant = grant->next) {
        grant->stirred = true;
        pthread_cond_signal(&grant->cond);
    }
    pthread_mutex_unlock(&listener->mutex);
}

// Cuts the last word off, which is a number above zero.
static bool cut_number(char *text, int64_t *ret_number)
{
    char *blank = strrchr(text, ' ');
    if (blank == NULL || !text_to_int64(blank + 1, ret_number) || *ret_number <= 0)
        return false;
    *blank = '\0';
    return true;
}

// "OWNER ASK TOKEN". One that nobody waits for any more is being given up, and frees the lock
// itself.
static void deliver(struct redis_listener *listener, char *message)
{
    int64_t token, ask;
    if (!cut_number(message, &token) || !cut_number(message, &ask))
        return;
    pthread_mutex_lock(&listener->mutex);
    struct redis_grant *grant = listener->grants;
    while (grant != NULL && strcmp(grant->owner, message) != 0)
        grant = grant->next;
    if (grant != NULL && grant->asks == ask) {
        grant->token = (uint64_t)token;
        pthread_cond_signal(&grant->cond);
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
static redisContext *subscribe(struct redis_listener *listener, char *ret_why)
{
    redisContext *context = redis_connect(listener->address, CONNECT_NS, ret_why, WHY_MAX);
    if (context == NULL)
        return NULL;
    redisAppendCommand(context, "SUBSCRIBE %s", listener->channel);
    bool ok = true;
    for (size_t i = 0; ok && i < redis_login_replies(listener->address) + 1; i++) {
        void *memory = NULL;
        redisReply *reply = redisGetReply(context, &memory) == REDIS_OK ? memory : NULL;
        ok = reply != NULL && reply->type != REDIS_REPLY_ERROR;
        if (!ok)
            text_copy(ret_why, WHY_MAX, reply != NULL ? reply->str : context->errstr);
        freeReplyObject(reply);
    }
    if (!ok) {
        redisFree(context);
        return NULL;
    }
    return context;
}

// What has arrived. False when the connection has ended.
static bool read_some(struct redis_listener *listener, redisContext *context)
{
    if (redisBufferRead(context) != REDIS_OK)
        return false;
    for (;;) {
        void *memory = NULL;
        if (redisGetReplyFromReader(context, &memory) != REDIS_OK)
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

static bool send_ping(redisContext *context)
{
    int done = 0;
    if (redisAppendCommand(context, "PING") != REDIS_OK)
        return false;
    while (done == 0)
        if (redisBufferWrite(context, &done) != REDIS_OK)
            return false;
    return true;
}

// Until the connection ends or the listener is stopped.
static void listen_to(struct redis_listener *listener, redisContext *context)
{
    bool asked = false;
    for (;;) {
        struct pollfd fds[2] = {{.fd = context->fd, .events = POLLIN},
                                {.fd = listener->stop, .events = POLLIN}};
        int n = poll(fds, ARRAY_LENGTH(fds), STILL_MS);
        if (fds[1].revents != 0)
            return;
        if (n == 0) {
            if (asked || !send_ping(context))
                return;
            asked = true;
        } else if (n > 0) {
            if (!read_some(listener, context))
                return;
            asked = false;
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
    const struct redis_address *address = listener->address;
    bool said = false;
    while (!stopped_within(listener, 0)) {
        char why[WHY_MAX];
        redisContext *context = subscribe(listener, why);
        if (context != NULL) {
            set_hears(listener, true);
            listen_to(listener, context);
            set_hears(listener, false);
            redisFree(context);
            said = false;
        } else if (!said) {
            LOG_WARNING("redis %s:%d cannot be listened to: %s", address->host, address->port, why);
            said = true;
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
    bool hears = listener->hears;
    pthread_mutex_unlock(&listener->mutex);
    return hears ? listener->channel : "";
}

uint64_t redis_listener_reconnects(struct redis_listener *listener)
{
    pthread_mutex_lock(&listener->mutex);
    uint64_t times = listener->times;
    pthread_mutex_unlock(&listener->mutex);
    return times > 0 ? times - 1 : 0;
}

void redis_listener_expect(struct redis_listener *listener, struct redis_grant *grant,
                           const char *owner)
{
    *grant = (struct redis_grant){.owner = owner};
    pthread_cond_init(&grant->cond, NULL);
    pthread_mutex_lock(&listener->mutex);
    grant->next = listener->grants;
    listener->grants = grant;
    pthread_mutex_unlock(&listener->mutex);
}

unsigned redis_listener_ask(struct redis_listener *listener, struct redis_grant *grant)
{
    pthread_mutex_lock(&listener->mutex);
    unsigned number = ++grant->asks;
    grant->token = 0;
    pthread_mutex_unlock(&listener->mutex);
    return number;
}

void redis_listener_forget(struct redis_listener *listener, struct redis_grant *grant)
{
    pthread_mutex_lock(&listener->mutex);
    struct redis_grant **at = &listener->grants;
    while (*at != grant)
        at = &(*at)->next;
    *at = grant->next;
    pthread_mutex_unlock(&listener->mutex);
    pthread_cond_destroy(&grant->cond);
}

uint64_t redis_listener_wait(struct redis_listener *listener, struct redis_grant *grant,
                             int64_t until_ns)
{
    pthread_mutex_lock(&listener->mutex);
    while (grant->token == 0 && !grant->stirred &&
           clock_wait(&grant->cond, &listener->mutex, until_ns))
        continue;
    grant->stirred = false;
    uint64_t token = grant->token;
    pthread_mutex_unlock(&listener->mutex);
    return token;
}
