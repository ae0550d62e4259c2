// What every part of a section needs: its metrics, its pause points, its deadline and its guard.
#include "engine/section_state.h"

#include "base/clock.h"
#include "store/db/db.h"

#define LEAVE_NS NS_PER_S

void section_count(struct section *section, enum metric_event event, uint64_t by)
{
    metrics_count(section->metrics, event, section->scope.endpoint, section->scope.guard->strategy,
                  by);
}

void section_pause(struct section *section, enum pause_point point)
{
    const struct engine_hooks *hooks = &section->settings.hooks;
    if (hooks->pause == NULL)
        return;
    struct paused paused = {point, section->scope.endpoint, &section->batch, section->db};
    hooks->pause(hooks->arg, &paused);
}

void section_limit_db(struct section *section, int64_t deadline_ns)
{
    section->db_deadline_ns = deadline_ns;
    db_set_deadline(section->db, deadline_ns);
}

bool section_held(const struct section *section)
{
    return guard_held(section->scope.guard, &section->hold.hold);
}

enum rc section_enter(struct section *section, int64_t deadline_ns)
{
    section_limit_db(section, deadline_ns + DB_GRACE_NS);
    enum rc rc =
        traced_enter(section->metrics, section->scope.endpoint, section->scope.guard, section->db,
                     section->scope.keys, section->scope.n_keys, deadline_ns, &section->hold);
    section->entered = rc == RC_OK;
    return rc;
}

void section_leave(struct section *section)
{
    if (!section->entered)
        return;
    section->entered = false;
    section->hold.hold.unknown = section->unknown;
    section_pause(section, PAUSE_BEFORE_LEAVE);
    section_limit_db(section, clock_now_ns() + LEAVE_NS); // all requests are answered by now
    (void)traced_leave(section->scope.guard, section->db, &section->hold);
}
