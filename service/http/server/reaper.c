// A thread that checks all connections a few times a second and ends those whose first request,
// header section, body or answer takes too long. It sends 408 on the socket and shuts the socket
// down; the HTTP thread then sees the end of the connection. A request pays one atomic exchange per
// phase. The lock is taken only when a connection opens or closes, so that a descriptor is not
// reused for another connection while the reaper uses it.
//
// The library does not report a request before its first line is complete. For idle connections the
// reaper therefore asks the kernel how many bytes were received. Once the number has grown since
// the last answer, the client has begun a request and its deadline runs. An idle connection without
// new bytes is left to the library's idle timeout. Before the first request the deadline runs from
// the start, because a client seldom connects without a request to send. A sweep asks the kernel
// about a thousand connections. If more are open, they take turns. Of 10,000 idle connections, one
// that is half-closed or has begun a request line is then found some seconds later. A deadline that
// already runs is checked in every sweep.
//
// Beyond the limit, the reaper ends as many connections as there are too many. First those that
// have not sent a whole request, then those between requests, then those whose client does not read
// its answer; of each kind the one that has waited longest. So silent strangers displace one
// another, and never a client that uses its connection. A request in the engine is never cut off.
// The server lets somewhat more connections in than the limit, so that the new ones need not wait
// for the reaper.
//
// The library (0.9.75, 1.0.1) also misses the end of a stream that arrives together with a request:
// it takes a short read for the last one, and epoll reports each edge once. The reaper closes such
// a connection when it is idle or in the middle of a request, because nothing more can come.
//
// What breaks it: an exchange that does not enter a phase. The previous phase's deadline then stays
// in force.
#include "http/server/reaper.h"

#include "base/clock.h"
#include "base/log.h"
#include "http/wire/problem.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define SWEEP_MAX_MS 250
#define SWEEP_MIN_MS 10
#define ROOM_PAUSE_MS 20  // between two searches for connections that can give way
#define ROOM_GRACE_MS 200 // a connection that has waited for less does not give way
#define SPARE_SHARE 64    // one in so many connections
#define ASKS_MAX 1024     // connections about which a sweep asks the kernel, about
#define REPORT_PAUSE_MS 60000
#define PHASE_BITS 3
#define STATE_BITS 60 // enough for 4 years since the machine's start
// TCP_ESTABLISHED and TCP_CLOSE_WAIT of netinet/tcp.h, which does not go with linux/tcp.h.
#define STATE_ESTABLISHED 1
#define STATE_CLOSE_WAIT 8

// A connection that can give way. The smallest key goes first: the ending above the state.
struct candidate {
    uint64_t key;
    struct watched *watched;
};

struct reaper {
    struct reaper_settings settings;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake; // to stop, or because the limit is exceeded
    bool stopping;
    bool exceeded; // the limit; the thread knows and will look again
    size_t sweeps;
    struct watched *first;
    size_t count;
    atomic_bool full;
    atomic_size_t ended[ENDING_COUNT];
    struct candidate *candidates; // settings.connection_max
    size_t unreported;            // connections that gave way since the last line in the log
    int64_t report_ns;            // when the next line may be written
};

// The time is in nanoseconds, so no two states of a connection are equal.
static uint64_t state_of(enum phase phase, int64_t now_ns)
{
    return (uint64_t)now_ns << PHASE_BITS | (uint64_t)phase;
}

static enum phase phase_of(uint64_t state)
{
    return (enum phase)(state & ((1U << PHASE_BITS) - 1));
}

bool reaper_enter(struct watched *watched, enum phase phase, int64_t now_ns)
{
    uint64_t old = atomic_exchange(&watched->state, state_of(phase, now_ns));
    if (phase_of(old) != PHASE_ENDED)
        return true;
    atomic_store(&watched->state, old);
    return false;
}

// False if the connection has left the state.
static bool end(struct reaper *reaper, struct watched *watched, uint64_t state, enum ending ending)
{
    uint64_t ended = state_of(PHASE_ENDED, 0);
    if (!atomic_compare_exchange_strong(&watched->state, &state, ended))
        return false;
    if (ending == ENDING_SLOW_REQUEST)
        problem_send_raw(watched->fd, RC_REQUEST_TIMEOUT);
    shutdown(watched->fd, SHUT_RDWR);
    atomic_fetch_add_explicit(&reaper->ended[ending], 1, memory_order_relaxed);
    return true;
}

static void check_idle(struct reaper *reaper, struct watched *watched, uint64_t state,
                       uint64_t bytes, int64_t now_ms)
{
    if (watched->noted_state != state) {
        watched->noted_state = state;
        watched->noted_bytes = bytes;
        watched->bytes_since_ms = -1;
        return;
    }
    if (bytes == watched->noted_bytes)
        return;
    if (watched->bytes_since_ms < 0)
        watched->bytes_since_ms = now_ms;
    else if (now_ms - watched->bytes_since_ms > reaper->settings.receive_timeout_ms)
        (void)end(reaper, watched, state, ENDING_SLOW_REQUEST);
}

// While the client's turn lasts: idle, or in a header section or a body.
static void check_receiving(struct reaper *reaper, struct watched *watched, uint64_t state,
                            int64_t lasted_ms, int64_t now_ms)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    int unread = 0;
    (void)!getsockopt(watched->fd, IPPROTO_TCP, TCP_INFO, &info, &size);
    bool half_closed = info.tcpi_state == STATE_CLOSE_WAIT &&
                       ioctl(watched->fd, FIONREAD, &unread) == 0 && unread == 0;
    // Only at the second sweep: the HTTP thread may be about to act on what it has just read.
    if (half_closed && watched->half_closed_state == state)
        (void)end(reaper, watched, state, ENDING_HALF_CLOSED);
    else if (half_closed)
        watched->half_closed_state = state;
    else if (phase_of(state) == PHASE_IDLE)
        check_idle(reaper, watched, state, info.tcpi_bytes_received, now_ms);
    else if (lasted_ms > reaper->settings.receive_timeout_ms)
        (void)end(reaper, watched, state,
                  phase_of(state) == PHASE_NEW && info.tcpi_bytes_received == 0
                      ? ENDING_NO_REQUEST
                      : ENDING_SLOW_REQUEST);
}

// May the kernel be asked about this connection in this sweep? If many are open, they take turns.
static bool has_turn(const struct reaper *reaper, const struct watched *watched)
{
    return ((size_t)watched->fd + reaper->sweeps) % (1 + reaper->count / ASKS_MAX) == 0;
}

static void check(struct reaper *reaper, struct watched *watched, int64_t now_ms)
{
    uint64_t state = atomic_load(&watched->state);
    int64_t lasted_ms = now_ms - (int64_t)(state >> PHASE_BITS) / NS_PER_MS;
    switch (phase_of(state)) {
    case PHASE_NEW:
    case PHASE_IDLE:
    case PHASE_HEAD:
    case PHASE_BODY:
        if (has_turn(reaper, watched) ||
            (phase_of(state) != PHASE_IDLE && lasted_ms > reaper->settings.receive_timeout_ms))
            check_receiving(reaper, watched, state, lasted_ms, now_ms);
        break;
    case PHASE_SEND:
        if (lasted_ms > reaper->settings.send_timeout_ms)
            (void)end(reaper, watched, state, ENDING_SLOW_READER);
        break;
    case PHASE_WORK:
    case PHASE_ENDED:
        break;
    }
}

// ENDING_COUNT if a connection in this state may not give way.
static enum ending may_give_way(const struct reaper *reaper, uint64_t state, int64_t now_ms)
{
    int64_t lasted_ms = now_ms - (int64_t)(state >> PHASE_BITS) / NS_PER_MS;
    if (lasted_ms < ROOM_GRACE_MS)
        return ENDING_COUNT;
    switch (phase_of(state)) {
    case PHASE_NEW:
    case PHASE_HEAD:
    case PHASE_BODY:
        return ENDING_LIMIT_NO_REQUEST;
    case PHASE_IDLE:
        return ENDING_LIMIT_IDLE;
    case PHASE_SEND:
        return lasted_ms > reaper->settings.receive_timeout_ms ? ENDING_LIMIT_UNREAD : ENDING_COUNT;
    case PHASE_WORK:
    case PHASE_ENDED:
        break;
    }
    return ENDING_COUNT;
}

// The connections that the reaper has not ended.
struct population {
    size_t open;
    size_t young; // of these, without a whole request and too young to give way
};

// Collects the connections that can give way. Returns how many.
static size_t find_candidates(struct reaper *reaper, int64_t now_ms, struct population *ret)
{
    size_t n = 0;
    *ret = (struct population){0};
    for (struct watched *at = reaper->first; at != NULL; at = at->next) {
        uint64_t state = atomic_load(&at->state);
        enum phase phase = phase_of(state);
        enum ending ending = may_give_way(reaper, state, now_ms);
        ret->open += phase != PHASE_ENDED;
        ret->young += ending == ENDING_COUNT &&
                      (phase == PHASE_NEW || phase == PHASE_HEAD || phase == PHASE_BODY);
        if (ending != ENDING_COUNT && n < reaper->settings.connection_max)
            reaper->candidates[n++] =
                (struct candidate){(uint64_t)ending << STATE_BITS | state, at};
    }
    return n;
}

static int by_key(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;
    return (a->key > b->key) - (a->key < b->key);
}

static void make_room(struct reaper *reaper, int64_t now_ns)
{
    size_t limit = reaper->settings.connection_limit;
    struct population now = {0};
    size_t n = 0;
    reaper->exceeded = reaper->count > limit;
    if (reaper->exceeded)
        n = find_candidates(reaper, now_ns / NS_PER_MS, &now);
    bool too_many = now.open > limit;
    if (too_many)
        qsort(reaper->candidates, n, sizeof *reaper->candidates, by_key);
    for (size_t i = 0; too_many && i < n; i++) {
        const struct candidate *candidate = &reaper->candidates[i];
        enum ending ending = (enum ending)(candidate->key >> STATE_BITS);
        // Silent strangers make some room in advance, so that one newcomer is not one search. A
        // client that uses its connection stays while young connections may still prove silent.
        bool silent = ending == ENDING_LIMIT_NO_REQUEST;
        if (silent ? now.open + limit / SPARE_SHARE <= limit : now.open <= limit + now.young)
            break;
        uint64_t state = candidate->key & ((UINT64_C(1) << STATE_BITS) - 1);
        bool ended = end(reaper, candidate->watched, state, ending);
        now.open -= ended;
        reaper->unreported += ended;
    }
    atomic_store_explicit(&reaper->full, now.open > limit + now.young, memory_order_relaxed);
}

static void report(struct reaper *reaper, int64_t now_ns)
{
    if (reaper->unreported == 0 || now_ns < reaper->report_ns)
        return;
    LOG_WARNING("%zu connections gave way to new ones, because only %zu may be open "
                "(http.connections)",
                reaper->unreported, reaper->settings.connection_limit);
    reaper->unreported = 0;
    reaper->report_ns = now_ns + REPORT_PAUSE_MS * NS_PER_MS;
}

static void *run(void *arg)
{
    struct reaper *reaper = arg;
    int64_t sweep_ms = reaper->settings.receive_timeout_ms / 8;
    sweep_ms = sweep_ms > SWEEP_MAX_MS ? SWEEP_MAX_MS : sweep_ms;
    sweep_ms = sweep_ms < SWEEP_MIN_MS ? SWEEP_MIN_MS : sweep_ms;
    int64_t sweep_ns = 0;
    pthread_mutex_lock(&reaper->mutex);
    while (!reaper->stopping) {
        int64_t now_ns = clock_now_ns();
        if (now_ns >= sweep_ns) {
            for (struct watched *at = reaper->first; at != NULL; at = at->next)
                check(reaper, at, now_ns / NS_PER_MS);
            reaper->sweeps++;
            sweep_ns = now_ns + sweep_ms * NS_PER_MS;
        }
        make_room(reaper, now_ns);
        report(reaper, now_ns);
        int64_t room_ns = reaper->exceeded ? now_ns + ROOM_PAUSE_MS * NS_PER_MS : sweep_ns;
        clock_wait(&reaper->wake, &reaper->mutex, room_ns < sweep_ns ? room_ns : sweep_ns);
    }
    pthread_mutex_unlock(&reaper->mutex);
    return NULL;
}

enum rc reaper_new(const struct reaper_settings *settings, struct reaper **ret_reaper)
{
    struct reaper *reaper = calloc(1, sizeof *reaper);
    if (reaper == NULL)
        return RC_NO_MEMORY;
    reaper->settings = *settings;
    reaper->candidates = calloc(settings->connection_max, sizeof *reaper->candidates);
    pthread_cond_init(&reaper->wake, NULL);
    pthread_mutex_init(&reaper->mutex, NULL);
    if (reaper->candidates == NULL || pthread_create(&reaper->thread, NULL, run, reaper) != 0) {
        pthread_cond_destroy(&reaper->wake);
        pthread_mutex_destroy(&reaper->mutex);
        free(reaper->candidates);
        free(reaper);
        return RC_NO_MEMORY;
    }
    *ret_reaper = reaper;
    return RC_OK;
}

void reaper_free(struct reaper *reaper)
{
    if (reaper == NULL)
        return;
    pthread_mutex_lock(&reaper->mutex);
    reaper->stopping = true;
    pthread_cond_signal(&reaper->wake);
    pthread_mutex_unlock(&reaper->mutex);
    pthread_join(reaper->thread, NULL);
    pthread_cond_destroy(&reaper->wake);
    pthread_mutex_destroy(&reaper->mutex);
    free(reaper->candidates);
    free(reaper);
}

void reaper_watch(struct reaper *reaper, struct watched *watched, int fd, const void *owner)
{
    uint64_t state = state_of(PHASE_NEW, clock_now_ns());
    *watched =
        (struct watched){.fd = fd, .owner = owner, .noted_state = state, .bytes_since_ms = -1};
    atomic_store(&watched->state, state);
    pthread_mutex_lock(&reaper->mutex);
    watched->next = reaper->first;
    if (watched->next != NULL)
        watched->next->previous = watched;
    reaper->first = watched;
    reaper->count++;
    if (reaper->count > reaper->settings.connection_limit && !reaper->exceeded) {
        reaper->exceeded = true;
        pthread_cond_signal(&reaper->wake);
    }
    pthread_mutex_unlock(&reaper->mutex);
}

void reaper_forget(struct reaper *reaper, struct watched *watched)
{
    pthread_mutex_lock(&reaper->mutex);
    if (watched->previous != NULL)
        watched->previous->next = watched->next;
    else
        reaper->first = watched->next;
    if (watched->next != NULL)
        watched->next->previous = watched->previous;
    reaper->count--;
    pthread_mutex_unlock(&reaper->mutex);
}

// How many bytes have been read from the socket, if others wait there; else 0.
static uint64_t taken_before_waiting(const struct watched *watched)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    int unread = 0;
    if (ioctl(watched->fd, FIONREAD, &unread) != 0 || unread == 0 ||
        getsockopt(watched->fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
        return 0;
    return (uint64_t)info.tcpi_bytes_received - (uint64_t)unread;
}

struct watched *reaper_find_stuck(struct reaper *reaper, const void *owner, bool *ret_waiting)
{
    struct watched *stuck = NULL;
    *ret_waiting = false;
    pthread_mutex_lock(&reaper->mutex);
    for (struct watched *at = reaper->first; at != NULL && stuck == NULL; at = at->next) {
        enum phase phase = phase_of(atomic_load(&at->state));
        if (at->owner != owner || (phase != PHASE_HEAD && phase != PHASE_BODY))
            continue;
        uint64_t taken = taken_before_waiting(at);
        *ret_waiting |= taken != 0;
        if (taken != 0 && taken == at->stuck_bytes && phase == PHASE_BODY)
            stuck = at;
        at->stuck_bytes = taken;
    }
    pthread_mutex_unlock(&reaper->mutex);
    return stuck;
}

bool reaper_client_is_gone(const struct watched *watched)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    return getsockopt(watched->fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
           info.tcpi_state != STATE_ESTABLISHED;
}

size_t reaper_count(struct reaper *reaper)
{
    pthread_mutex_lock(&reaper->mutex);
    size_t count = reaper->count;
    pthread_mutex_unlock(&reaper->mutex);
    return count;
}

size_t reaper_busy(struct reaper *reaper)
{
    size_t busy = 0;
    pthread_mutex_lock(&reaper->mutex);
    for (const struct watched *at = reaper->first; at != NULL; at = at->next) {
        enum phase phase = phase_of(atomic_load(&at->state));
        busy += phase != PHASE_NEW && phase != PHASE_IDLE && phase != PHASE_ENDED;
    }
    pthread_mutex_unlock(&reaper->mutex);
    return busy;
}

bool reaper_full(const struct reaper *reaper)
{
    return atomic_load_explicit(&reaper->full, memory_order_relaxed);
}

atomic_size_t *reaper_ended(struct reaper *reaper, enum ending ending)
{
    return &reaper->ended[ending];
}
