// A thread that checks all connections a few times a second and ends those whose header section,
// body or answer takes too long. It sends 408 on the socket and shuts the socket down; the HTTP
// thread then sees the end of the connection. A request pays one atomic exchange per phase. The
// lock is taken only when a connection opens or closes, so that a descriptor is not reused for
// another connection while the reaper uses it.
//
// The library does not report a request before its first line is complete. For idle connections the
// reaper therefore asks the kernel how many bytes were received. Once the number has grown since
// the last answer, the client has begun a request and its deadline runs. An idle connection without
// new bytes is left to the library's idle timeout.
//
// The library (0.9.75, 1.0.1) also misses the end of a stream that arrives together with a request:
// it takes a short read for the last one, and epoll reports each edge once. The reaper closes such a
// connection when it is idle or in the middle of a request, because nothing more can come.
//
// What breaks it: an exchange that does not enter a phase. The previous phase's deadline then stays
// in force.
#include "http/server/reaper.h"

#include "base/clock.h"
#include "http/wire/problem.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define SWEEP_MAX_MS 250
#define SWEEP_MIN_MS 10
#define PHASE_BITS 3
#define STATE_CLOSE_WAIT 8 // TCP_CLOSE_WAIT of netinet/tcp.h, which does not go with linux/tcp.h

struct reaper {
    struct reaper_settings settings;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t stop_asked;
    bool stopping;
    struct watched *first;
    size_t count;
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

static void end(struct watched *watched, uint64_t state, bool send_408)
{
    uint64_t ended = state_of(PHASE_ENDED, 0);
    if (!atomic_compare_exchange_strong(&watched->state, &state, ended))
        return;
    if (send_408)
        problem_send_raw(watched->fd, RC_REQUEST_TIMEOUT);
    shutdown(watched->fd, SHUT_RDWR);
}

static void check_idle(const struct reaper *reaper, struct watched *watched, uint64_t state,
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
        end(watched, state, true);
}

// While the client's turn lasts: idle, or in a header section or a body.
static void check_receiving(const struct reaper *reaper, struct watched *watched, uint64_t state,
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
        end(watched, state, false);
    else if (half_closed)
        watched->half_closed_state = state;
    else if (phase_of(state) == PHASE_IDLE)
        check_idle(reaper, watched, state, info.tcpi_bytes_received, now_ms);
    else if (lasted_ms > reaper->settings.receive_timeout_ms)
        end(watched, state, true);
}

static void check(const struct reaper *reaper, struct watched *watched, int64_t now_ms)
{
    uint64_t state = atomic_load(&watched->state);
    int64_t lasted_ms = now_ms - (int64_t)(state >> PHASE_BITS) / NS_PER_MS;
    switch (phase_of(state)) {
    case PHASE_IDLE:
    case PHASE_HEAD:
    case PHASE_BODY:
        check_receiving(reaper, watched, state, lasted_ms, now_ms);
        break;
    case PHASE_SEND:
        if (lasted_ms > reaper->settings.send_timeout_ms)
            end(watched, state, false);
        break;
    case PHASE_WORK:
    case PHASE_ENDED:
        break;
    }
}

static void *run(void *arg)
{
    struct reaper *reaper = arg;
    int64_t sweep_ms = reaper->settings.receive_timeout_ms / 8;
    sweep_ms = sweep_ms > SWEEP_MAX_MS ? SWEEP_MAX_MS : sweep_ms;
    sweep_ms = sweep_ms < SWEEP_MIN_MS ? SWEEP_MIN_MS : sweep_ms;
    pthread_mutex_lock(&reaper->mutex);
    while (!reaper->stopping) {
        int64_t now_ns = clock_now_ns();
        for (struct watched *at = reaper->first; at != NULL; at = at->next)
            check(reaper, at, now_ns / NS_PER_MS);
        clock_wait(&reaper->stop_asked, &reaper->mutex, now_ns + sweep_ms * NS_PER_MS);
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
    pthread_cond_init(&reaper->stop_asked, NULL);
    pthread_mutex_init(&reaper->mutex, NULL);
    if (pthread_create(&reaper->thread, NULL, run, reaper) != 0) {
        pthread_cond_destroy(&reaper->stop_asked);
        pthread_mutex_destroy(&reaper->mutex);
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
    pthread_cond_signal(&reaper->stop_asked);
    pthread_mutex_unlock(&reaper->mutex);
    pthread_join(reaper->thread, NULL);
    pthread_cond_destroy(&reaper->stop_asked);
    pthread_mutex_destroy(&reaper->mutex);
    free(reaper);
}

void reaper_watch(struct reaper *reaper, struct watched *watched, int fd)
{
    uint64_t state = state_of(PHASE_IDLE, clock_now_ns());
    *watched = (struct watched){.fd = fd, .noted_state = state, .bytes_since_ms = -1};
    atomic_store(&watched->state, state);
    pthread_mutex_lock(&reaper->mutex);
    watched->next = reaper->first;
    if (watched->next != NULL)
        watched->next->previous = watched;
    reaper->first = watched;
    reaper->count++;
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
        busy += phase != PHASE_IDLE && phase != PHASE_ENDED;
    }
    pthread_mutex_unlock(&reaper->mutex);
    return busy;
}
