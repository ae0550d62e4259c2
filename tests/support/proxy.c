// A TCP proxy inside a test program: one thread and poll(2), for a handful of connections.
#include "proxy.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAIRS_MAX 64
#define POLL_MS 5

enum pair_state {
    PAIR_OPEN,
    PAIR_FROZEN,
    PAIR_THAWED,   // if its client closes, the server is not told
    PAIR_ORPHANED, // thawed, and the client has gone
};

struct pair {
    int client, server; // -1: free
    enum pair_state state;
};

struct proxy {
    struct sockaddr_in target;
    int listener;
    char address[32];
    pthread_t thread;
    atomic_bool stopping, swallow_answers, swallow_requests, cut;
    atomic_bool hold, released, newest_first, freeze, thaw;
    atomic_int delay_ms;
    atomic_bool armed, frozen;
    char word[32]; // while armed
    struct pair pairs[PAIRS_MAX];
};

static void close_pair(struct pair *pair)
{
    if (pair->client >= 0)
        close(pair->client);
    if (pair->server >= 0)
        close(pair->server);
    pair->client = pair->server = -1;
}

static void accept_one(struct proxy *proxy)
{
    int client = accept(proxy->listener, NULL, NULL);
    int server = socket(AF_INET, SOCK_STREAM, 0);
    struct pair *pair = proxy->pairs;
    while (pair < proxy->pairs + PAIRS_MAX && pair->client >= 0)
        pair++;
    if (client < 0 || server < 0 || pair == proxy->pairs + PAIRS_MAX ||
        connect(server, (struct sockaddr *)&proxy->target, sizeof proxy->target) != 0) {
        struct pair refused = {.client = client, .server = server};
        close_pair(&refused);
        return;
    }
    int on = 1;
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    *pair = (struct pair){.client = client, .server = server};
}

// False when the connection has ended.
static bool carry(int from, int to, bool swallow)
{
    char bytes[16384];
    ssize_t n = recv(from, bytes, sizeof bytes, 0);
    if (n <= 0)
        return false;
    for (ssize_t sent = 0; !swallow && sent < n;) {
        ssize_t part = send(to, bytes + sent, (size_t)(n - sent), MSG_NOSIGNAL);
        if (part <= 0)
            return false;
        sent += part;
    }
    return true;
}

static bool says(int client, const char *word)
{
    char bytes[16384];
    ssize_t n = recv(client, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
    return n > 0 && memmem(bytes, (size_t)n, word, strlen(word)) != NULL;
}

static void serve_pair(struct proxy *proxy, struct pair *pair, const struct pollfd *fds)
{
    bool alive = true;
    if (fds[0].revents != 0 && proxy->armed && says(pair->client, proxy->word)) {
        pair->state = PAIR_FROZEN;
        proxy->armed = false;
        proxy->frozen = true;
        return;
    }
    if (fds[0].revents != 0)
        alive = carry(pair->client, pair->server, proxy->swallow_requests);
    if (!alive && pair->state == PAIR_THAWED) {
        pair->state = PAIR_ORPHANED;
        alive = true;
    }
    bool discard = proxy->swallow_answers || pair->state == PAIR_ORPHANED;
    if (alive && fds[1].revents != 0 && proxy->delay_ms > 0)
        poll(NULL, 0, proxy->delay_ms);
    if (alive && fds[1].revents != 0)
        alive = carry(pair->server, pair->client, discard);
    if (!alive)
        close_pair(pair);
}

// Forwards the held requests in order of arrival, because slots are assigned from the front and a
// test has few connections, or in reverse order. Pauses after each, so that the server acts on one
// before it gets the next.
static void forward_held(struct proxy *proxy)
{
    for (size_t i = 0; i < PAIRS_MAX; i++) {
        struct pair *pair = &proxy->pairs[proxy->newest_first ? PAIRS_MAX - 1 - i : i];
        struct pollfd fds[2] = {{.fd = pair->client, .events = POLLIN}, {.fd = -1}};
        if (pair->client < 0 || poll(fds, 1, 0) <= 0)
            continue;
        serve_pair(proxy, pair, fds);
        poll(NULL, 0, 4 * POLL_MS);
    }
}

static void change_state(struct proxy *proxy, enum pair_state from, enum pair_state to)
{
    for (size_t i = 0; i < PAIRS_MAX; i++) {
        if (proxy->pairs[i].client >= 0 && proxy->pairs[i].state == from)
            proxy->pairs[i].state = to;
    }
}

// Executes the commands that the test gave since the last call.
static void obey(struct proxy *proxy)
{
    if (atomic_exchange(&proxy->cut, false))
        for (size_t i = 0; i < PAIRS_MAX; i++)
            close_pair(&proxy->pairs[i]);
    if (atomic_exchange(&proxy->released, false)) {
        forward_held(proxy);
        proxy->hold = false;
    }
    if (proxy->freeze) {
        change_state(proxy, PAIR_OPEN, PAIR_FROZEN);
        proxy->freeze = false; // the test waits for this
    }
    if (atomic_exchange(&proxy->thaw, false))
        change_state(proxy, PAIR_FROZEN, PAIR_THAWED);
}

static void *proxy_main(void *arg)
{
    struct proxy *proxy = arg;
    while (!proxy->stopping) {
        obey(proxy);
        bool hold = proxy->hold;
        struct pollfd fds[1 + 2 * PAIRS_MAX] = {{.fd = proxy->listener, .events = POLLIN}};
        for (size_t i = 0; i < PAIRS_MAX; i++) {
            const struct pair *pair = &proxy->pairs[i];
            bool frozen = pair->state == PAIR_FROZEN;
            bool unread = hold || frozen || pair->state == PAIR_ORPHANED;
            fds[1 + 2 * i] = (struct pollfd){.fd = unread ? -1 : pair->client, .events = POLLIN};
            fds[2 + 2 * i] = (struct pollfd){.fd = frozen ? -1 : pair->server, .events = POLLIN};
        }
        if (poll(fds, ARRAY_LENGTH(fds), POLL_MS) <= 0)
            continue;
        for (size_t i = 0; i < PAIRS_MAX; i++)
            if (proxy->pairs[i].client >= 0)
                serve_pair(proxy, &proxy->pairs[i], &fds[1 + 2 * i]);
        if (fds[0].revents != 0)
            accept_one(proxy);
    }
    return NULL;
}

struct proxy *proxy_start(const char *server)
{
    struct proxy *proxy = calloc(1, sizeof *proxy);
    ck_assert_ptr_nonnull(proxy);
    char host[64];
    ck_assert(text_copy(host, sizeof host, server));
    char *colon = strrchr(host, ':');
    ck_assert_ptr_nonnull(colon);
    *colon = '\0';
    proxy->target.sin_family = AF_INET;
    proxy->target.sin_port = htons((uint16_t)atoi(colon + 1));
    ck_assert_int_eq(inet_pton(AF_INET, host, &proxy->target.sin_addr), 1);
    for (size_t i = 0; i < PAIRS_MAX; i++)
        proxy->pairs[i] = (struct pair){.client = -1, .server = -1};

    struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof local;
    proxy->listener = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ge(proxy->listener, 0);
    ck_assert_int_eq(bind(proxy->listener, (struct sockaddr *)&local, sizeof local), 0);
    ck_assert_int_eq(listen(proxy->listener, 64), 0);
    ck_assert_int_eq(getsockname(proxy->listener, (struct sockaddr *)&local, &size), 0);
    snprintf(proxy->address, sizeof proxy->address, "127.0.0.1:%d", ntohs(local.sin_port));
    ck_assert_int_eq(pthread_create(&proxy->thread, NULL, proxy_main, proxy), 0);
    return proxy;
}

void proxy_stop(struct proxy *proxy)
{
    proxy->stopping = true;
    pthread_join(proxy->thread, NULL);
    for (size_t i = 0; i < PAIRS_MAX; i++)
        close_pair(&proxy->pairs[i]);
    close(proxy->listener);
    free(proxy);
}

const char *proxy_address(const struct proxy *proxy)
{
    return proxy->address;
}

void proxy_swallow_answers(struct proxy *proxy, bool swallow)
{
    proxy->swallow_answers = swallow;
}

void proxy_swallow_requests(struct proxy *proxy, bool swallow)
{
    proxy->swallow_requests = swallow;
}

void proxy_hold_requests(struct proxy *proxy)
{
    proxy->hold = true;
}

void proxy_release_requests(struct proxy *proxy, bool newest_first)
{
    proxy->newest_first = newest_first;
    proxy->released = true;
}

void proxy_freeze(struct proxy *proxy)
{
    proxy->freeze = true;
    while (proxy->freeze)
        poll(NULL, 0, 1);
}

void proxy_thaw(struct proxy *proxy)
{
    proxy->thaw = true;
}

void proxy_freeze_at(struct proxy *proxy, const char *word)
{
    ck_assert(text_copy(proxy->word, sizeof proxy->word, word));
    proxy->frozen = false;
    proxy->armed = true;
}

bool proxy_has_frozen(const struct proxy *proxy)
{
    return proxy->frozen;
}

void proxy_delay_answers(struct proxy *proxy, int delay_ms)
{
    proxy->delay_ms = delay_ms;
}

void proxy_cut(struct proxy *proxy)
{
    proxy->cut = true;
}
