// One HTTP thread: a libmicrohttpd daemon and the loop that drives it.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

struct MHD_Daemon;
struct loop;
struct mailbox;

// Starts the thread, which owns the mailbox from now on. The daemon must have been started for
// external epoll; it is owned by the loop when this returns RC_OK. RC_NO_MEMORY.
MUST_CHECK enum rc loop_new(struct MHD_Daemon *daemon, struct mailbox *mailbox,
                            struct loop **ret_loop);

// Ends the thread, then the daemon with its connections, none of which may be suspended. NULL is
// fine.
void loop_free(struct loop *loop);
