// The report for machines: one JSON object, whose members loadtest/README.md lists.
#include "report/report.h"

#include "base/version.h"
#include "report/json_parts.h"

#define DIGITS 10 // of a number that is not whole

static json_t *make_targets(const struct summary *summary)
{
    json_t *targets = json_array();
    for (size_t i = 0; i < summary->n_targets; i++)
        json_add(&targets, json_text_or_null(summary->targets[i]));
    return targets;
}

static json_t *make_facts(const struct summary *summary)
{
    json_t *facts = json_object();
    for (size_t i = 0; i < summary->n_facts; i++)
        json_put(&facts, summary->facts[i].name, json_text_or_null(summary->facts[i].value));
    return facts;
}

static json_t *make_requirements(const struct summary *summary)
{
    json_t *requirements = json_array();
    for (size_t i = 0; i < summary->n_requirements; i++) {
        const struct requirement_result *result = &summary->requirements[i];
        json_t *made = json_object();
        json_put(&made, "text", json_text_or_null(result->text));
        json_put(&made, "value", json_number(result->value));
        json_put(&made, "unit", json_text_or_null(result->unit));
        json_put(&made, "holds", json_boolean(result->holds));
        json_add(&requirements, made);
    }
    return requirements;
}

static json_t *make_report(const struct summary *summary)
{
    json_t *report = json_object();
    json_put(&report, "tool", json_string("holdfast-load"));
    json_put(&report, "version", json_string(HOLDFAST_VERSION));
    json_put(&report, "run", json_text_or_null(summary->run));
    json_put(&report, "scenario", json_text_or_null(summary->scenario));
    json_put(&report, "arrival", json_text_or_null(summary->arrival));
    json_put(&report, "targets", make_targets(summary));
    json_put(&report, "facts", make_facts(summary));
    json_put(&report, "connections", json_integer(summary->connections));
    json_put(&report, "started_at_ms", json_integer(summary->started_at_ms));
    json_put(&report, "duration_s", json_number(summary->duration_s));
    json_put(&report, "interrupted", json_boolean(summary->interrupted));
    json_put(&report, "open_loop", json_boolean(summary->open_loop));
    json_put_measure(&report, summary->measure, summary->duration_s);
    json_put(&report, "check", json_verdict(summary->verdict));
    json_put(&report, "requirements", make_requirements(summary));
    json_put(&report, "history", json_text_or_null(summary->history_path));
    return report;
}

void report_json(const struct summary *summary, struct buffer *out)
{
    json_t *report = make_report(summary);
    char *text CLEANUP(free_memory) =
        json_dumps(report, JSON_COMPACT | JSON_REAL_PRECISION(DIGITS));
    json_decref(report);
    if (text == NULL) {
        out->failed = true;
        return;
    }
    buffer_append_text(out, text);
    buffer_append_text(out, "\n");
}
