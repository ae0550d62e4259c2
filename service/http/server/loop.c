// An event loop that drives one daemon of the HTTP library, in place of the library's own threads.
//
// Those threads have a defect, up to 0.9.75 at least. If exactly 128 events are ready, as many as
// one call can return, the thread leaves all of them unserved and waits again until the next
// timeout. With 256 busy connections on two threads, both threads stall sooner or later. Driven
// from outside, the library never waits.
//
// The loop also waits for its mailbox, so a whole batch of finished calls costs one wake-up.
#include "http/server/loop.h"

#include "http/mailbox.h"

#include <microhttpd.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define WAIT_MAX_MS 60000

struct loop {
    struct MHD_Daemon *daemon;
    struct mailbox *mailbox;
    int epoll_fd;
    pthread_t thread;
    pthread_barrier_t started;
    unsigned connections; // after the last round
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
    MHD_UNSIGNED_LONG_LONG timeout_ms;
    if (MHD_get_timeout(daemon, &timeout_ms) != MHD_YES || timeout_ms > WAIT_MAX_MS)
        return WAIT_MAX_MS;
    return (int)timeout_ms;
}

static void *run(void *arg)
{
    struct loop *loop = arg;
    loop->mailbox->owner = pthread_self();
    pthread_barrier_wait(&loop->started);
    struct pollfd fds[] = {{.fd = loop->epoll_fd, .events = POLLIN},
                           {.fd = loop->mailbox->wake_fd, .events = POLLIN}};
    while (!atomic_load(&loop->stopping)) {
        // An interrupted or failed poll only costs an idle round.
        (void)poll(fds, ARRAY_LENGTH(fds), wait_ms(loop));
        uint64_t wakes;
        if (fds[1].revents != 0)
            (void)!read(loop->mailbox->wake_fd, &wakes, sizeof wakes);
        mailbox_collect(loop->mailbox);
        MHD_run(loop->daemon);
    }
    return NULL;
}

enum rc loop_new(struct MHD_Daemon *daemon, struct mailbox *mailbox, struct loop **ret_loop)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL || info == NULL) {
        free(loop);
        return RC_NO_MEMORY;
    }
    loop->daemon = daemon;
    loop->mailbox = mailbox;
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
