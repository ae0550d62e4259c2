// Resuming a suspended connection takes the library's lock and writes to an eventfd. A worker that
// does this for each of the 256 calls of a batch spends more time on it than on their commit, and
// fights the HTTP thread for the lock. So the worker only pushes each call onto its thread's stack,
// and resumes the one that found the stack empty: that is the bell. When the bell's connection is
// run again its thread takes the whole stack and resumes the others itself, where nobody contends.
//
// A parcel that rings is never resumed a second time, and it cannot be gone while it is on the
// stack, because its coming back is what empties the stack.
//
// What breaks it: a call that comes back, or ends because its client has gone, without collecting
// first.
#include "http/mailbox.h"

#include <microhttpd.h>

struct mailbox *mailbox_mine(struct mailboxes *mailboxes)
{
    struct mailbox *mine = NULL;
    pthread_t self = pthread_self();
    pthread_mutex_lock(&mailboxes->mutex);
    for (size_t i = 0; i < MAILBOXES_MAX && mine == NULL; i++) {
        struct mailbox *box = &mailboxes->boxes[i];
        if (!box->taken) {
            box->taken = true;
            box->owner = self;
        }
        if (pthread_equal(box->owner, self))
            mine = box;
    }
    pthread_mutex_unlock(&mailboxes->mutex);
    return mine;
}

void mailbox_post(struct mailbox *mailbox, struct parcel *parcel)
{
    struct MHD_Connection *connection = parcel->connection;
    struct parcel *top = atomic_load_explicit(&mailbox->top, memory_order_relaxed);
    bool rings;
    do {
        rings = top == NULL;
        parcel->next = top;
        parcel->rings = rings;
    } while (!atomic_compare_exchange_weak_explicit(&mailbox->top, &top, parcel,
                                                    memory_order_release, memory_order_relaxed));
    if (rings)
        MHD_resume_connection(connection);
}

void mailbox_collect(struct mailbox *mailbox)
{
    if (atomic_load_explicit(&mailbox->top, memory_order_relaxed) == NULL)
        return;
    struct parcel *at = atomic_exchange_explicit(&mailbox->top, NULL, memory_order_acquire);
    while (at != NULL) {
        struct parcel *next = at->next;
        if (!at->rings)
            MHD_resume_connection(at->connection);
        at = next;
    }
}
