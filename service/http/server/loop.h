// One HTTP thread: a libmicrohttpd daemon and the loop that drives it.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <stdbool.h>

struct MHD_Daemon;
struct listener;
struct loop;
struct mailbox;

// Starts the thread, which becomes the mailbox's owner. The daemon must have been started for
// external epoll, with the first of the listener's sockets. The thread accepts connections on the
// others, which are borrowed until loop_free, for at most `connections` in the daemon. `on_spin` is
// called on the thread now and then while the library asks for round after round in which nothing
// arrives; it returns whether there is still something to do. On RC_OK the loop owns the daemon.
// RC_NO_MEMORY.
MUST_CHECK enum rc loop_new(struct MHD_Daemon *daemon, struct mailbox *mailbox,
                            const struct listener *listener, unsigned connections,
                            bool (*on_spin)(void *cls, struct mailbox *mailbox), void *cls,
                            struct loop **ret_loop);

// Stops the thread, then the daemon with its connections. No connection may be suspended. NULL is
// fine.
void loop_free(struct loop *loop);
