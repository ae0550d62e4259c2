// One HTTP thread: a libmicrohttpd daemon and the loop that drives it.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

struct MHD_Daemon;
struct loop;
struct mailbox;

// Starts the thread, which becomes the mailbox's owner. The daemon must have been started for
// external epoll. On RC_OK the loop owns it. RC_NO_MEMORY.
MUST_CHECK enum rc loop_new(struct MHD_Daemon *daemon, struct mailbox *mailbox,
                            struct loop **ret_loop);

// Stops the thread, then the daemon with its connections. No connection may be suspended. NULL is
// fine.
void loop_free(struct loop *loop);
