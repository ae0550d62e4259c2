// One object: the findings, each on a line of its own, and then what they amount to. Whether the
// report is complete is said at its end; a reader must not take a cut-off one for clean.
//
// A finding may quote what somebody wrote into the database behind the service's back. Its names
// are ASCII, so a byte that is not, and would not be JSON by itself, is shown as `?`.
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
    // The buffer may be empty here, so the comma is not left to json_write_open.
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
