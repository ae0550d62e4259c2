// How a worker hands finished calls back to the HTTP thread they belong to: a lock-free stack for
// each thread, and one wake-up for as many calls as are there.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

struct MHD_Connection;

// One finished call; embedded in it.
struct parcel {
    struct parcel *next;
    struct MHD_Connection *connection;
};

struct mailbox {
    _Alignas(64) _Atomic(struct parcel *) top;
    pthread_t owner;
    int wake_fd; // readable when the owner should collect
};

#define MAILBOXES_MAX 64

struct mailboxes {
    size_t n;
    struct mailbox boxes[MAILBOXES_MAX];
};

// So many mailboxes, at most MAILBOXES_MAX. RC_IO when there are no descriptors left.
MUST_CHECK enum rc mailboxes_open(struct mailboxes *mailboxes, size_t n);
void mailboxes_close(struct mailboxes *mailboxes); // a zeroed one is fine

// The calling HTTP thread's own mailbox, once its owner is set.
struct mailbox *mailbox_mine(struct mailboxes *mailboxes);

// Any thread. The parcel's connection is suspended and will be resumed; the caller must not touch
// parcel or call again.
void mailbox_post(struct mailbox *mailbox, struct parcel *parcel);

// The owner: resumes the connections of all parcels that are there.
void mailbox_collect(struct mailbox *mailbox);

// The owner, to be woken without a parcel by another thread.
void mailbox_wake(struct mailbox *mailbox);
