// A run as JSON, for GET /v1/lab/runs/{run}.
#include "http/lab/run.h"

#include "base/clock.h"
#include "base/json_write.h"
#include "base/text.h"

static const char *const state_names[] = {
    [RUN_PREPARING] = "preparing", [RUN_RUNNING] = "running",     [RUN_CHECKING] = "checking",
    [RUN_ENDED] = "ended",         [RUN_CANCELLED] = "cancelled", [RUN_FAILED] = "failed",
};

void lab_settings_write(const struct lab_settings *settings, const char *key, struct buffer *out)
{
    json_write_open(out, key, '{');
    json_write_text(out, "strategy", settings->strategy);
    json_write_int(out, "buyers", settings->buyers);
    json_write_int(out, "units", settings->units);
    json_write_int(out, "think_ms", settings->think_ms);
    json_write_int(out, "workers", settings->workers);
    json_write_int(out, "instances", settings->instances);
    json_write_int(out, "duplicates", settings->duplicates);
    json_write_int(out, "lease_ms", settings->lease_ms);
    json_write_int(out, "sleep_ms", settings->sleep_ms);
    json_write_int(out, "seed", settings->seed);
    json_write_bool(out, "combine", settings->combine);
    json_write_bool(out, "fence", settings->fence);
    json_write_bool(out, "belts", settings->belts);
    json_write_bool(out, "manual", settings->manual);
    json_write_text(out, "lock", lab_lock_names[settings->lock]);
    json_write_close(out, '}');
}

static void write_event(struct buffer *out, size_t seq, const struct lab_event *event)
{
    json_write_open(out, NULL, '[');
    json_write_int(out, NULL, (int64_t)seq);
    json_write_int(out, NULL, event->t_us);
    json_write_int(out, NULL, (int64_t)event->actor);
    json_write_text(out, NULL, lab_step_names[event->step]);
    json_write_int(out, NULL, event->version);
    json_write_int(out, NULL, event->remaining);
    const char *rc = "";
    if (event->step == LAB_ANSWER)
        rc = event->rc == RC_COUNT ? "lost" : rc_slug(event->rc);
    json_write_text(out, NULL, rc);
    json_write_close(out, ']');
}

static void write_events(const struct run *run, const struct run_view *view, struct buffer *out)
{
    const struct record *record = &run->record;
    size_t n = atomic_load_explicit(&record->n, memory_order_acquire);
    size_t from = (size_t)view->after < n ? (size_t)view->after : n;
    size_t end = n - from < (size_t)view->limit ? n : from + (size_t)view->limit;
    json_write_open(out, "events", '[');
    for (size_t i = from; i < end; i++)
        write_event(out, i + 1, &record->events[i]);
    json_write_close(out, ']');
    json_write_int(out, "dropped", (int64_t)atomic_load(&record->dropped));
    json_write_int(out, "next_after", (int64_t)end);
    json_write_bool(out, "more", end < n);
}

static void write_actors(const struct run *run, struct buffer *out)
{
    json_write_open(out, "actors", '[');
    for (size_t i = 0; i < run->n_actors; i++) {
        const struct actor *actor = &run->actors[i];
        bool fresh = actor->call.route == NULL && !actor->submitted;
        json_write_open(out, NULL, '{');
        json_write_int(out, "actor", (int64_t)i);
        json_write_text(out, "at", fresh ? "" : lab_step_names[actor->at]);
        json_write_bool(out, "waiting", actor->waiting);
        json_write_bool(out, "holds_lock", actor->holds);
        json_write_bool(out, "done", actor->done);
        json_write_bool(out, "left", actor->done && actor->left);
        json_write_close(out, '}');
    }
    json_write_close(out, ']');
}

static void write_counts(const struct run *run, struct buffer *out)
{
    json_write_open(out, "counts", '{');
    json_write_int(out, "buyers", run->settings.buyers);
    json_write_int(out, "requests", (int64_t)run->n_actors);
    json_write_int(out, "answered", (int64_t)run->n_answered);
    json_write_int(out, "accepted", (int64_t)run->n_accepted);
    json_write_int(out, "refused", (int64_t)run->n_refused);
    json_write_int(out, "failed", (int64_t)run->n_failed);
    json_write_int(out, "replayed", (int64_t)run->n_replayed);
    json_write_close(out, '}');
}

static void write_verdict(const struct run *run, struct buffer *out)
{
    const struct run_verdict *verdict = &run->verdict;
    if (run->state != RUN_ENDED) {
        json_write_null(out, "verdict");
        return;
    }
    int64_t excess = verdict->sold - verdict->limit;
    json_write_open(out, "verdict", '{');
    json_write_int(out, "violations", verdict->n_findings);
    json_write_int(out, "sold", verdict->sold);
    json_write_int(out, "units", verdict->limit);
    json_write_int(out, "excess", excess > 0 ? excess : 0);
    json_write_int(out, "remaining", verdict->remaining);
    json_write_text(out, "sentence", verdict->sentence);
    json_write_open(out, "findings", '[');
    for (size_t i = 0; i < verdict->n; i++) {
        json_write_open(out, NULL, '{');
        json_write_text(out, "check", verdict->findings[i].check);
        json_write_text(out, "where", verdict->findings[i].where);
        json_write_text(out, "what", verdict->findings[i].what);
        json_write_close(out, '}');
    }
    json_write_close(out, ']');
    json_write_close(out, '}');
}

// What the last save has written; before that, what there was at the start.
static int64_t last_remaining(const struct run *run)
{
    const struct record *record = &run->record;
    size_t n = atomic_load_explicit(&record->n, memory_order_acquire);
    while (n > 0 && record->events[n - 1].step != LAB_SAVE)
        n--;
    return n > 0 ? record->events[n - 1].remaining : run->settings.units;
}

void run_write(struct run *run, const struct run_view *view, struct buffer *out)
{
    bool running = run->state != RUN_PREPARING && run->ended_ns == 0;
    int64_t until_ns = running ? clock_now_ns() : run->ended_ns;
    json_write_text(out, "run", run->id);
    json_write_text(out, "scenario", run->scenario->name);
    json_write_text(out, "state", state_names[run->state]);
    json_write_text(out, "why", run->state == RUN_FAILED ? run->why : "");
    lab_settings_write(&run->settings, "settings", out);
    json_write_int(out, "elapsed_us", until_ns > 0 ? (until_ns - run->record.start_ns) / 1000 : 0);
    write_counts(run, out);
    json_write_int(out, "before", run->settings.units);
    json_write_int(out, "remaining",
                   run->state == RUN_ENDED ? run->verdict.remaining : last_remaining(run));
    if (run->settings.manual)
        write_actors(run, out);
    if (view->events)
        write_events(run, view, out);
    write_verdict(run, out);
}
