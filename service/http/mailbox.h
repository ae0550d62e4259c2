// How a worker hands finished calls back to the HTTP thread they belong to: a lock-free stack for
// each thread, and one wake-up for as many calls as are there.
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct MHD_Connection;

// One finished call; embedded in it.
struct parcel {
    struct parcel *next;
    bool rings; // was the first in an empty mailbox: resumed by the one who put it there
    struct MHD_Connection *connection;
};

struct mailbox {
    _Alignas(64) _Atomic(struct parcel *) top;
    pthread_t owner;
    bool taken;
};

#define MAILBOXES_MAX 64

struct mailboxes {
    pthread_mutex_t mutex;
    struct mailbox boxes[MAILBOXES_MAX];
};

// The calling HTTP thread's own mailbox. NULL if more threads ask than there are
// mailboxes; the server starts no more.
struct mailbox *mailbox_mine(struct mailboxes *mailboxes);

// Any thread. The parcel's connection is suspended and will be resumed; the caller must not touch
// parcel or call again.
void mailbox_post(struct mailbox *mailbox, struct parcel *parcel);

// The mailbox's own thread, whenever one of its calls has come back: resumes all that are there.
void mailbox_collect(struct mailbox *mailbox);
