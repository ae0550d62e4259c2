// Replaces pause_points.c in builds without pause points. It refuses HOLDFAST_PAUSE, because a test
// that sets it must not run as if the pause were there.
#include "engine/pause_points.h"

#include "base/text.h"

enum rc pause_points_new(const char *text, struct pause_points **ret_points, char *ret_error)
{
    *ret_points = NULL;
    if (text == NULL || text[0] == '\0')
        return RC_OK;
    text_copy(ret_error, GUARD_ERROR_MAX,
              "HOLDFAST_PAUSE: this program was built without HOLDFAST_PAUSE_POINTS");
    return RC_USAGE;
}

void pause_points_free(struct pause_points *points)
{
    (void)points;
}

struct engine_hooks pause_points_hooks(struct pause_points *points)
{
    (void)points;
    return (struct engine_hooks){0};
}
