// An event loop that drives one daemon of the HTTP library, in place of the library's own threads.
//
// Those threads have a defect, up to 0.9.75 at least. If exactly 128 events are ready, as many as
// one call can return, the thread leaves all of them unserved and waits again until the next
// timeout. With 256 busy connections on two threads, both threads stall sooner or later. Driven
// from outside, the library never waits.
//
// The library asks for another round at once as long as a connection has bytes that it cannot take,
// because its buffer is full of a chunk-size line or of trailers. It also does so while it reads a
// body a few bytes at a time, because a large head has left little memory. The loop reports such
// rounds, so that the first kind of connection is ended.
//
// The loop also waits for its mailbox, so a whole batch of finished calls costs one wake-up. And it
// accepts the connections of the listening sockets after the first, because the library knows one.
#include "http/server/loop.h"

#include "base/clock.h"
#include "http/mailbox.h"
#include "http/server/listen.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_MAX_MS 60000
#define FULL_WAIT_MS 100 // until the loop tries again to accept, without a descriptor to do it
#define ACCEPTS_MAX 64   // of one socket in one round
#define OWN_FDS 2        // in the set of descriptors: the library's and the mailbox's
#define SPIN_ROUNDS 64   // at once and without an event: the library spins
#define SPIN_REPORT_MS 10
#define SPIN_PAUSE_MS 1

struct loop {
    struct MHD_Daemon *daemon;
    struct mailbox *mailbox;
    int epoll_fd;
    pthread_t thread;
    pthread_barrier_t started;
    const struct listener *listener;
    unsigned connections; // after the last round
    unsigned connections_max;
    bool full;         // no descriptor was left at the last accept
    unsigned spins;    // rounds at once without an event, less those with one
    bool pauses;       // while it spins
    int64_t report_ns; // when on_spin may be called again
    bool (*on_spin)(void *cls, struct mailbox *mailbox);
    void *cls;
    atomic_bool stopping;
};

static int wait_ms(struct loop *loop)
{
    struct MHD_Daemon *daemon = loop->daemon;
    // At its limit the library stops listening. It listens again in the round after the one in
    // which it closed a connection.
    unsigned before = loop->connections;
    loop->connections =
        MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)->num_connections;
    if (loop->connections < before)
        return 0;
    MHD_UNSIGNED_LONG_LONG timeout_ms, longest_ms = loop->full ? FULL_WAIT_MS : WAIT_MAX_MS;
    if (MHD_get_timeout(daemon, &timeout_ms) != MHD_YES || timeout_ms > longest_ms)
        return (int)longest_ms;
    return (int)timeout_ms;
}

// Hands new connections to the library, which takes them in MHD_run, or closes them if the accept
// policy refuses them.
static void accept_some(struct loop *loop, int listen_fd)
{
    struct sockaddr_storage address;
    for (int i = 0; i < ACCEPTS_MAX && loop->connections < loop->connections_max; i++) {
        socklen_t length = sizeof address;
        int fd =
            accept4(listen_fd, (struct sockaddr *)&address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            loop->full = errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS;
            return;
        }
        if (MHD_add_connection(loop->daemon, fd, (struct sockaddr *)&address, length) == MHD_YES)
            loop->connections++;
    }
}

// Waits for events. While the library spins, reports that now and then, and pauses if there is
// nothing to do. Returns what poll returns.
static int await_events(struct loop *loop, struct pollfd *fds, size_t n_fds, int timeout_ms)
{
    bool spins = timeout_ms == 0 && loop->spins == SPIN_ROUNDS;
    if (spins && clock_now_ns() >= loop->report_ns) {
        loop->pauses = !loop->on_spin(loop->cls, loop->mailbox);
        loop->report_ns = clock_now_ns() + SPIN_REPORT_MS * NS_PER_MS;
    }
    int n = poll(fds, n_fds, spins && loop->pauses ? SPIN_PAUSE_MS : timeout_ms);
    if (timeout_ms != 0)
        loop->spins = 0;
    else if (n != 0)
        loop->spins -= loop->spins > 0;
    else
        loop->spins += loop->spins < SPIN_ROUNDS;
    return n;
}

static void *run(void *arg)
{
    struct loop *loop = arg;
    loop->mailbox->owner = pthread_self();
    pthread_barrier_wait(&loop->started);
    const struct listener *listener = loop->listener;
    struct pollfd fds[OWN_FDS + LISTEN_SOCKETS_MAX] = {
        {.fd = loop->epoll_fd, .events = POLLIN}, {.fd = loop->mailbox->wake_fd, .events = POLLIN}};
    size_t n = OWN_FDS + listener->n - 1;
    while (!atomic_load(&loop->stopping)) {
        int timeout_ms = wait_ms(loop);
        bool accepts = !loop->full && loop->connections < loop->connections_max;
        loop->full = false;
        for (size_t i = OWN_FDS; i < n; i++)
            fds[i] = (struct pollfd){accepts ? listener->fds[i - OWN_FDS + 1] : -1, POLLIN, 0};
        // An interrupted or failed poll only costs an idle round.
        if (await_events(loop, fds, n, timeout_ms) < 0)
            continue;
        for (size_t i = OWN_FDS; i < n; i++)
            if (fds[i].revents != 0)
                accept_some(loop, fds[i].fd);
        uint64_t wakes;
        if (fds[1].revents != 0)
            (void)!read(loop->mailbox->wake_fd, &wakes, sizeof wakes);
        mailbox_collect(loop->mailbox);
        MHD_run(loop->daemon);
    }
    return NULL;
}

enum rc loop_new(struct MHD_Daemon *daemon, struct mailbox *mailbox,
                 const struct listener *listener, unsigned connections,
                 bool (*on_spin)(void *cls, struct mailbox *mailbox), void *cls,
                 struct loop **ret_loop)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL || info == NULL) {
        free(loop);
        return RC_NO_MEMORY;
    }
    loop->daemon = daemon;
    loop->mailbox = mailbox;
    loop->listener = listener;
    loop->connections_max = connections;
    loop->on_spin = on_spin;
    loop->cls = cls;
    loop->epoll_fd = info->epoll_fd;
    pthread_barrier_init(&loop->started, NULL, 2);
    if (pthread_create(&loop->thread, NULL, run, loop) != 0) {
        pthread_barrier_destroy(&loop->started);
        free(loop);
        return RC_NO_MEMORY;
    }
    pthread_barrier_wait(&loop->started); // the mailbox's owner is set now
    *ret_loop = loop;
    return RC_OK;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    atomic_store(&loop->stopping, true);
    mailbox_wake(loop->mailbox);
    pthread_join(loop->thread, NULL);
    MHD_stop_daemon(loop->daemon);
    pthread_barrier_destroy(&loop->started);
    free(loop);
}
