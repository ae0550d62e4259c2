// What decisions share: the limit of a subject, and the only place that moves a counter.
#include "domain/view.h"

bool view_is_used_up(struct view *view)
{
    view->used_up = *view->used >= view->limit;
    return view->used_up;
}

void view_post(struct view *view, size_t counter, int64_t delta)
{
    struct counter *moved = &view->counters[counter];
    moved->remaining += delta;
    moved->version++;
    view->postings[view->n_postings++] = (struct posting){.counter = counter,
                                                          .delta = delta,
                                                          .remaining = moved->remaining,
                                                          .version = moved->version};
}

void view_post_leg(struct view *view, size_t i, int64_t delta)
{
    view_post(view, view->legs[i], delta);
}

bool view_has_child(const struct view *view, size_t i)
{
    return view->children[i] != SIZE_MAX;
}

void view_post_child(struct view *view, size_t i, int64_t delta)
{
    if (view_has_child(view, i))
        view_post(view, view->children[i], delta);
}
