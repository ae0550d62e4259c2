// Writes a reconciliation as one JSON object: the findings, each on a line of its own, then the
// summary. `complete` comes at the end, so that a truncated report cannot pass for a clean one.
//
// A finding may quote names that were written into the database by hand. The service's own names
// are ASCII; any other byte might not be valid JSON and is shown as `?`.
#include "store/reconcile/json.h"

#include "base/json_write.h"
#include "base/text.h"
#include "store/reconcile/reconcile.h"

void reconcile_json_begin(struct reconcile_json *json)
{
    buffer_append_text(json->out, "{\"findings\":[");
}

static void make_ascii(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text > 0x7e)
            *text = '?';
    }
}

void reconcile_json_finding(struct reconcile_json *json, const struct finding *finding)
{
    if (json->shown == json->shown_max)
        return;
    struct buffer *out = json->out;
    struct finding shown = *finding;
    make_ascii(shown.where);
    make_ascii(shown.what);
    // json_write_open looks at the last byte to place a comma; the buffer may be empty here.
    buffer_append_text(out, json->shown++ == 0 ? "\n{" : ",\n{");
    json_write_text(out, "check", shown.check);
    json_write_text(out, "where", shown.where);
    json_write_text(out, "what", shown.what);
    json_write_int(out, "expected", shown.expected);
    json_write_int(out, "found", shown.found);
    json_write_close(out, '}');
}

void reconcile_json_end(struct reconcile_json *json, const struct reconciliation *summary)
{
    struct buffer *out = json->out;
    buffer_append_text(out, "]");
    json_write_bool(out, "complete", summary != NULL);
    if (summary != NULL) {
        json_write_bool(out, "clean", summary->findings == 0);
        json_write_int(out, "finding_count", summary->findings);
        json_write_int(out, "findings_shown", json->shown);
        json_write_int(out, "counters", summary->counters);
        json_write_int(out, "ledger_rows", summary->ledger_rows);
        json_write_int(out, "coupons", summary->coupons);
        json_write_int(out, "draws", summary->draws);
        json_write_int(out, "started_at_ms", summary->started_at_ms);
        json_write_int(out, "took_ms", summary->took_ms);
    }
    json_write_close(out, '}');
}
