// Blocks the signals and takes them one at a time.
#include "control/interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

static sigset_t make_set(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    return set;
}

void interrupt_block(void)
{
    const sigset_t set = make_set();
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
}

bool interrupt_take(int64_t wait_ns)
{
    const sigset_t set = make_set();
    const struct timespec wait = {.tv_nsec = wait_ns};
    return sigtimedwait(&set, NULL, &wait) > 0;
}
