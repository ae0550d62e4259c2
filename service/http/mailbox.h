// Hands finished calls from the workers back to the HTTP threads: one lock-free stack per HTTP
// thread, and one wake-up for all calls on it.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

struct MHD_Connection;

// Embedded in every call; links finished calls.
struct parcel {
    struct parcel *next;
    struct MHD_Connection *connection;
};

struct mailbox {
    _Alignas(64) _Atomic(struct parcel *) top;
    pthread_t owner;
    int wake_fd; // an eventfd; readable when the owner must collect
};

#define MAILBOXES_MAX 64

struct mailboxes {
    size_t n;
    struct mailbox boxes[MAILBOXES_MAX];
};

// Opens n mailboxes, at most MAILBOXES_MAX. RC_IO if no descriptors are left.
MUST_CHECK enum rc mailboxes_open(struct mailboxes *mailboxes, size_t n);
void mailboxes_close(struct mailboxes *mailboxes); // a zeroed one is fine

// The mailbox of the calling HTTP thread. Its owner must be set (loop.c does this).
struct mailbox *mailbox_mine(struct mailboxes *mailboxes);

// Any thread. The parcel's connection must be suspended; the owner will resume it. The caller must
// not touch the parcel or its call afterwards.
void mailbox_post(struct mailbox *mailbox, struct parcel *parcel);

// Owner only. Resumes the connections of all posted parcels.
void mailbox_collect(struct mailbox *mailbox);

// Any thread. Wakes the owner without a parcel.
void mailbox_wake(struct mailbox *mailbox);
