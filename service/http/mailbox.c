// Stacks of finished calls, one per HTTP thread. Resuming a suspended connection takes the
// library's lock. A worker that resumed all 256 calls of a batch would spend more time on that than
// on the commit, and would compete with the HTTP thread for the lock. Therefore the worker only
// pushes each call onto its thread's stack, and wakes the thread if the stack was empty. The thread
// takes the whole stack and resumes the connections itself.
//
// A batch costs one wake-up for each thread. The order on the stack does not matter: the library
// continues the resumed connections in the order in which they were suspended.
//
// No wake-up is lost: the thread reads the wake-up before it takes the stack. A worker that pushes
// onto an empty stack afterwards sends a new wake-up.
#include "http/mailbox.h"

#include <microhttpd.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum rc mailboxes_open(struct mailboxes *mailboxes, size_t n)
{
    for (mailboxes->n = 0; mailboxes->n < n && mailboxes->n < MAILBOXES_MAX; mailboxes->n++) {
        int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (fd < 0)
            return RC_IO;
        mailboxes->boxes[mailboxes->n].wake_fd = fd;
    }
    return RC_OK;
}

void mailboxes_close(struct mailboxes *mailboxes)
{
    for (size_t i = 0; i < mailboxes->n; i++)
        close(mailboxes->boxes[i].wake_fd);
    mailboxes->n = 0;
}

struct mailbox *mailbox_mine(struct mailboxes *mailboxes)
{
    size_t i = 0;
    while (i + 1 < mailboxes->n && !pthread_equal(mailboxes->boxes[i].owner, pthread_self()))
        i++;
    return &mailboxes->boxes[i];
}

void mailbox_wake(struct mailbox *mailbox)
{
    uint64_t one = 1;
    // The write fails only if the eventfd's counter is full; then a wake-up is pending already.
    (void)!write(mailbox->wake_fd, &one, sizeof one);
}

void mailbox_post(struct mailbox *mailbox, struct parcel *parcel)
{
    struct parcel *top = atomic_load_explicit(&mailbox->top, memory_order_relaxed);
    do
        parcel->next = top;
    while (!atomic_compare_exchange_weak_explicit(&mailbox->top, &top, parcel, memory_order_release,
                                                  memory_order_relaxed));
    if (top == NULL)
        mailbox_wake(mailbox);
}

void mailbox_collect(struct mailbox *mailbox)
{
    if (atomic_load_explicit(&mailbox->top, memory_order_relaxed) == NULL)
        return;
    struct parcel *at = atomic_exchange_explicit(&mailbox->top, NULL, memory_order_acquire);
    while (at != NULL) {
        struct parcel *next = at->next;
        MHD_resume_connection(at->connection);
        at = next;
    }
}
