// Keeps a lock from one round of jobs to the next.
//
// Problem: on a hot counter each section pays for a lock (enter, leave, and the wake-up of the next
// instance), although the jobs of the next section wait in the same process already.
//
// Approach: lock cohorting (Dice, Marathe, Shavit, "Lock Cohorting", PPoPP 2012; ACM TOPC 2015).
// The worker that holds the lock takes from its lanes once more, for up to lock.tenure_ms since it
// entered. Nothing is kept between workers: it is one section with several rounds.
//
// Why it is safe: to the guard and to the row, several rounds under one hold are one long section.
// Each round has its own transaction with the hold's token and the same demand of the update rule,
// and each asks guard_held before its save and its COMMIT. Renewal and lock.max_hold_ms go on
// as in any long section.
//
// Why it cannot deadlock: the lanes, and so the keys, stay the same, and the worker enters nothing
// while it is inside. For other counters it leaves first.
//
// Waiting:
//   - Another instance waits for the tenure and the round in progress at its end. Then the holder
//     leaves, and joins the lock server's queue at its end. Locks without a fair queue are not kept
//     (`may_keep`): instances that poll lock-table starved until lock.wait_ms. Nor is redis-lock,
//     which costs less than what rounds of half the clients lose.
//   - Other lanes of this instance have other workers. A round follows only if at least half of
//     all queued jobs wait in its lanes: with many counters at work, a fresh pick serves more.
//   - An idle counter keeps no lock. If its lanes are empty, the section stays for up to LINGER_NS,
//     only if no other job is queued, and only after a round of several jobs, whose clients may be
//     about to send their next requests. That is less than a lock server with a log on disk takes
//     to enter and leave.
//   - A round that went wrong ends the tenure: a lost lock, a conflict, a stuck row, or jobs to be
//     given back.
//
// What breaks it: nothing beyond what breaks a section. A longer hold makes it likelier that a
// pause finds the lock held; then the update rule refuses the save, as always.
#include "engine/tenure.h"

#include "base/clock.h"
#include "engine/section.h"
#include "engine/section_state.h"

#define LINGER_NS NS_PER_MS
#define LOOK_NS (NS_PER_MS / 10) // a poll: to be woken would cost every submit a look at the lanes

bool tenure_goes_on(const struct section *section, const struct section_source *source,
                    size_t n_last)
{
    if (section->settings.tenure_ms == 0 || source->queued == NULL ||
        !section->scope.guard->strategy->may_keep)
        return false;
    int64_t end_ns = section->hold.hold.entered_ns + section->settings.tenure_ms * NS_PER_MS;
    int64_t linger_ns = clock_now_ns() + (n_last > 1 ? LINGER_NS : 0);
    while (section->entered && !section->disturbed && !section->blocked &&
           section->n_returned == 0 && section_held(section)) {
        size_t others, mine = source->queued(source->arg, &others);
        int64_t now_ns = clock_now_ns();
        if (now_ns >= end_ns || mine < others)
            return false;
        if (mine > 0)
            return true;
        if (now_ns >= linger_ns)
            return false;
        clock_sleep_ns(LOOK_NS);
    }
    return false;
}
