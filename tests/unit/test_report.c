// Reports: requirements are parsed and judged, the JSON has the right numbers, no text can end the
// page's script, and a report is saved whole or not at all.
#include "report/report.h"
#include "report/requirement.h"

#include "base/clock.h"
#include "history/history.h"

#include "suite.h"

#include <check.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define NASTY "</script><!-- <script> \"&amp;\\"

// A small run with simple numbers: 100 requests of 1 to 100 ms in 2 s.
struct sample {
    struct measure measure;
    struct verdict verdict;
    struct violation shown;
    struct summary summary;
};

static struct sample *new_sample(void)
{
    static const char *const targets[] = {"http://127.0.0.1:1", "http://[::1]:2"};
    static const struct summary_fact facts[] = {{"clients", "3 retries"}, {"note", NASTY}};
    struct sample *sample = calloc(1, sizeof *sample);
    ck_assert_ptr_nonnull(sample);
    struct measure *measure = &sample->measure;
    ck_assert(measure_init(measure));
    for (int64_t i = 1; i <= 100; i++) {
        enum answer_class answer = i <= 90 ? ANSWER_OK : i <= 95 ? ANSWER_REFUSED : ANSWER_ERROR;
        histogram_add(&measure->latency, i * NS_PER_MS);
        if (answer == ANSWER_OK)
            histogram_add(&measure->ok_latency, i * NS_PER_MS);
        measure->kinds[KIND_DEDUCT][answer]++;
        histogram_add(&measure->operations, i * NS_PER_MS);
        timeline_add(&measure->timeline, i * 20 * NS_PER_MS, answer, i * NS_PER_MS);
        measure->classes[answer]++;
        measure->statuses[i <= 90 ? 200 : i <= 95 ? 409 : i <= 98 ? 503 : 0]++;
        measure->requests_sent++;
    }
    measure_problem(measure, "timeout");
    measure_problem(measure, "out-of-stock");
    measure_problem(measure, "out-of-stock");
    measure_problem(measure, "not UTF-8: \xc3");
    measure_problem(measure, "red \x1b[31m");
    measure->operations_done = 97;
    measure->operations_begun = 98;
    measure->retries = 3;
    measure->duplicates = 4;
    measure->replays = 5;
    measure->unknown = 2;
    measure->timeouts = 1;
    measure->malformed = 6;
    sample->summary = (struct summary){.run = "k3x9",
                                       .scenario = "deduct",
                                       .arrival = "closed",
                                       .targets = targets,
                                       .n_targets = 2,
                                       .facts = facts,
                                       .n_facts = 2,
                                       .connections = 1234,
                                       .started_at_ms = 1700000000123,
                                       .duration_s = 2,
                                       .measure = measure};
    return sample;
}

static void add_verdict(struct sample *sample, int64_t violations)
{
    struct verdict *verdict = &sample->verdict;
    *verdict = (struct verdict){.done = true, .operations = 97, .attempts = 100, .took_s = 0.25};
    verdict->violations = violations;
    verdict->n_invariants = 1;
    verdict->invariants[0] = (struct invariant){
        .slug = "conservation", .sentence = NASTY, .looked_at = 90, .violations = violations};
    if (violations > 0) {
        sample->shown = (struct violation){
            .invariant = "conservation",
            .sentence = "sold twice",
            .events = {{NS_PER_MS, 3 * NS_PER_MS, 17, -1, "one", NASTY},
                       {2 * NS_PER_MS, HISTORY_NEVER, -1, -1, "two", "timeout"},
                       {-1, HISTORY_NEVER, 17, 0, "ledger", "version 7"}},
            .n_events = 3,
        };
        verdict->shown = &sample->shown;
        verdict->n_shown = 1;
    }
    sample->summary.verdict = verdict;
}

static void free_sample(struct sample *sample)
{
    measure_release(&sample->measure);
    free(sample);
}

static struct requirement parse(const char *text)
{
    struct requirement requirement;
    char error[HISTORY_ERROR_MAX] = "";
    ck_assert_msg(requirement_parse(text, &requirement, error), "%s: %s", text, error);
    return requirement;
}

static struct requirement_result judge(const struct sample *sample, const char *text)
{
    struct requirement requirement = parse(text);
    return requirement_judge(&requirement, &sample->summary);
}

static void check_judged(const struct sample *sample, const char *text, double value, bool holds)
{
    struct requirement_result result = judge(sample, text);
    ck_assert_str_eq(result.text, text);
    ck_assert_msg(fabs(result.value - value) <= 0.001 * fabs(value), "%s: %g, not %g", text,
                  result.value, value);
    ck_assert_msg(result.holds == holds, "%s: %d", text, result.holds);
}

START_TEST(requirements_are_judged)
{
    struct sample *sample = new_sample();
    check_judged(sample, "p50<46ms", 45, true);
    check_judged(sample, "p50<44ms", 45, false);
    check_judged(sample, " p90 <= 81100 us ", 81000, true);
    check_judged(sample, "p95<0.1s", 0.086, true);
    check_judged(sample, "p99>89ms", 90, true);
    check_judged(sample, "p99.9>=90ms", 90, true);
    check_judged(sample, "p99.99!=90ms", 90, false);
    check_judged(sample, "max==90ms", 90, true);
    check_judged(sample, "mean<46ms", 45.5, true);
    check_judged(sample, "rate>=49/s", 49, true);
    check_judged(sample, "rate>49", 49, false);
    check_judged(sample, "ok_rate>=45", 45, true);
    check_judged(sample, "requests==100", 100, true);
    check_judged(sample, "operations==97", 97, true);
    check_judged(sample, "ok==90", 90, true);
    check_judged(sample, "refused==5", 5, true);
    check_judged(sample, "errors!=5", 5, false);
    check_judged(sample, "unknown==2", 2, true);
    check_judged(sample, "retries==3", 3, true);
    check_judged(sample, "duplicates==4", 4, true);
    check_judged(sample, "replays==5", 5, true);
    check_judged(sample, "timeouts==1", 1, true);
    check_judged(sample, "malformed==6", 6, true);
    check_judged(sample, "error_share<=5%", 5, true);
    check_judged(sample, "error_share<0.05", 0.05, false);
    free_sample(sample);
}
END_TEST

START_TEST(a_kind_that_never_succeeds_is_undone)
{
    static const struct {
        int64_t deducts[ANSWER_CLASSES], issues[ANSWER_CLASSES], reads[ANSWER_CLASSES];
        const char *undone; // NULL: the run did something of everything
    } cases[] = {
        {{0}, {0}, {0}, NULL}, // no answer at all is an error of its own
        {{1}, {0}, {0}, NULL},
        {{0, 1}, {0}, {0}, ": deduct (1)."},
        {{0, 0, 3}, {0}, {0}, ": deduct (3)."},
        {{0, 2, 3}, {0}, {100}, ": deduct (5)."},
        {{0, 1}, {0, 2}, {9}, ": deduct (1), issue (2)."},
        {{1}, {0, 9}, {0}, NULL}, // few, and all may be refused rightly
        {{1}, {0, 10}, {0}, ": issue (10)."},
        {{1}, {1, 900, 9}, {0, 10}, ": read (10)."},
        {{0}, {0}, {1, 5}, NULL},
        {{0}, {0}, {0, 5}, ": read (5)."},
    };
    struct measure *measure = calloc(1, sizeof *measure);
    ck_assert_ptr_nonnull(measure);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char sentence[UNDONE_MAX];
        memcpy(measure->kinds[KIND_DEDUCT], cases[i].deducts, sizeof cases[i].deducts);
        memcpy(measure->kinds[KIND_ISSUE], cases[i].issues, sizeof cases[i].issues);
        memcpy(measure->kinds[KIND_READ], cases[i].reads, sizeof cases[i].reads);
        ck_assert_int_eq(undone_find(measure, sentence), cases[i].undone != NULL);
        ck_assert_msg(cases[i].undone != NULL ? strstr(sentence, cases[i].undone) != NULL
                                              : sentence[0] == '\0',
                      "case %zu: %s", i, sentence);
    }
    free(measure);
}
END_TEST

START_TEST(violations_need_a_verdict)
{
    struct sample *sample = new_sample();
    ck_assert(!judge(sample, "violations==0").holds);
    ck_assert(isnan(judge(sample, "violations==0").value));
    ck_assert(!judge(sample, "violations!=0").holds);
    add_verdict(sample, 0);
    check_judged(sample, "violations==0", 0, true);
    sample->verdict.done = false;
    ck_assert(!judge(sample, "violations==0").holds);
    add_verdict(sample, 3);
    check_judged(sample, "violations==0", 3, false);
    free_sample(sample);
}
END_TEST

START_TEST(an_empty_run_fulfils_nothing_it_did_not_measure)
{
    struct sample *sample = new_sample();
    measure_clear(&sample->measure);
    sample->summary.duration_s = 0;
    static const char *const texts[] = {"p99<1s",   "p99>=0s",        "mean<1s",
                                        "max!=1us", "error_share<1%", "error_share>=0"};
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
        ck_assert_msg(!judge(sample, texts[i]).holds, "%s", texts[i]);
        ck_assert(isnan(judge(sample, texts[i]).value));
    }
    check_judged(sample, "rate>=0", 0, true);
    check_judged(sample, "errors==0", 0, true);
    free_sample(sample);
}
END_TEST

START_TEST(bad_requirements_are_refused_with_what_is_possible)
{
    static const struct {
        const char *text, *hint;
    } cases[] = {
        {"", "p99.99"},
        {"p98<20ms", "p99.99"},
        {"p9<20ms", "error_share"},
        {"P99<20ms", "error_share"},
        {"<20ms", "error_share"},
        {"p99", "<="},
        {"p99=20ms", "<="},
        {"p99 20ms", "<="},
        {"p99<", "a number"},
        {"p99<ms", "a number"},
        {"p99<-1ms", "a number"},
        {"p99<infms", "a number"},
        {"p99<nan", "a number"},
        {"p99<1.2.3ms", "a number"},
        {"p99<.", "a number"},
        {"p99<=>1ms", "a number"},
        {"p99<11111111111111111111111111111111111111111111111ms", "a number"},
        {"p99<0x10ms", "us, ms, s"},
        {"p99<20", "us, ms, s"},
        {"p99<20m", "us, ms, s"},
        {"p99<20mss", "us, ms, s"},
        {"p99<20ms 1", "nothing else"},
        {"p99<1e3ms", "us, ms, s"},
        {"rate>5ms", "/s"},
        {"errors<1%", "no unit"},
        {"error_share<1ms", "%"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct requirement requirement = {.text = "untouched"};
        char error[HISTORY_ERROR_MAX] = "";
        ck_assert_msg(!requirement_parse(cases[i].text, &requirement, error), "%s", cases[i].text);
        ck_assert_msg(strstr(error, cases[i].hint), "%s: %s", cases[i].text, error);
        ck_assert_msg(error[strlen(error) - 1] == '.', "cut off: %s", error);
        ck_assert_str_eq(requirement.text, "untouched");
    }
}
END_TEST

static json_t *report_of(const struct summary *summary)
{
    struct buffer text = {0};
    report_json(summary, &text);
    ck_assert(!text.failed);
    json_error_t error;
    json_t *report = json_loads(text.data, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(report != NULL, "%s in %s", error.text, text.data);
    buffer_release(&text);
    return report;
}

// "a.b" of the report; names with a dot are looked up by json_object_get.
static const json_t *member(const json_t *object, const char *outer, const char *inner)
{
    const json_t *found = json_object_get(object, outer);
    if (inner != NULL)
        found = json_object_get(found, inner);
    ck_assert_msg(found != NULL, "no %s %s", outer, inner ? inner : "");
    return found;
}

static double number(const json_t *object, const char *outer, const char *inner)
{
    const json_t *found = member(object, outer, inner);
    ck_assert_msg(json_is_number(found), "%s %s is no number", outer, inner ? inner : "");
    return json_number_value(found);
}

#define CHECK_NUMBER(report, outer, inner, wanted)                                                 \
    ck_assert_double_eq_tol(number(report, outer, inner), wanted, 0.001 * (wanted) + 1e-9)

START_TEST(json_has_the_right_numbers)
{
    struct sample *sample = new_sample();
    add_verdict(sample, 2);
    sample->summary.requirements[0] = judge(sample, "p50<20ms");
    sample->summary.requirements[1] = (struct requirement_result){"x", "", NAN, false};
    sample->summary.n_requirements = 2;
    json_t *report = report_of(&sample->summary);
    ck_assert_str_eq(json_string_value(member(report, "tool", NULL)), "holdfast-load");
    ck_assert_str_eq(json_string_value(member(report, "facts", "note")), NASTY);
    ck_assert_uint_eq(json_array_size(member(report, "targets", NULL)), 2);
    CHECK_NUMBER(report, "started_at_ms", NULL, 1700000000123.0);
    CHECK_NUMBER(report, "operations", NULL, 97);
    CHECK_NUMBER(report, "requests", NULL, 100);
    CHECK_NUMBER(report, "rate", NULL, 49);
    CHECK_NUMBER(report, "ok_rate", NULL, 45);
    CHECK_NUMBER(report, "outcomes", "ok", 90);
    CHECK_NUMBER(report, "outcomes", "refused", 5);
    CHECK_NUMBER(report, "outcomes", "error", 5);
    CHECK_NUMBER(report, "outcomes", "unknown", 2);
    CHECK_NUMBER(report, "statuses", "0", 2);
    CHECK_NUMBER(report, "statuses", "200", 90);
    ck_assert_uint_eq(json_object_size(member(report, "statuses", NULL)), 4);
    CHECK_NUMBER(report, "problems", "out-of-stock", 2);
    CHECK_NUMBER(report, "problems", "not UTF-8: ?", 1);
    CHECK_NUMBER(report, "retries", NULL, 3);
    CHECK_NUMBER(report, "duplicates", NULL, 4);
    CHECK_NUMBER(report, "replays", NULL, 5);
    CHECK_NUMBER(report, "timeouts", NULL, 1);
    CHECK_NUMBER(report, "malformed", NULL, 6);
    CHECK_NUMBER(report, "latency_ms", "min", 1);
    CHECK_NUMBER(report, "latency_ms", "mean", 50.5);
    CHECK_NUMBER(report, "latency_ms", "p50", 50);
    CHECK_NUMBER(report, "latency_ms", "p99", 99);
    CHECK_NUMBER(report, "ok_latency_ms", "p50", 45);
    CHECK_NUMBER(report, "operation_latency_ms", "p99.99", 100);
    CHECK_NUMBER(member(report, "kinds", "deduct"), "refused", NULL, 5);
    ck_assert(json_is_null(member(report, "undone", NULL)));
    CHECK_NUMBER(report, "check", "violations", 2);
    CHECK_NUMBER(report, "check", "took_s", 0.25);
    ck_assert(json_is_null(member(report, "check", "why_not")));
    const json_t *shown = json_array_get(member(report, "check", "shown"), 0);
    const json_t *events = json_object_get(shown, "events");
    ck_assert_uint_eq(json_array_size(events), 3);
    CHECK_NUMBER(json_array_get(events, 0), "to_ms", NULL, 3);
    ck_assert(json_is_null(member(json_array_get(events, 1), "to_ms", NULL)));
    ck_assert(json_is_null(member(json_array_get(events, 2), "from_ms", NULL)));
    CHECK_NUMBER(json_array_get(events, 0), "operation", NULL, 17);
    ck_assert(json_is_null(member(json_array_get(events, 1), "operation", NULL)));
    CHECK_NUMBER(json_array_get(events, 2), "operation", NULL, 17);
    const json_t *requirements = member(report, "requirements", NULL);
    CHECK_NUMBER(json_array_get(requirements, 0), "value", NULL, 45);
    ck_assert(json_is_false(member(json_array_get(requirements, 0), "holds", NULL)));
    ck_assert(json_is_null(member(json_array_get(requirements, 1), "value", NULL)));
    ck_assert(json_is_null(member(report, "history", NULL)));
    json_decref(report);
    free_sample(sample);
}
END_TEST

START_TEST(json_timeline_and_percentiles_cover_the_run)
{
    struct sample *sample = new_sample();
    json_t *report = report_of(&sample->summary);
    const json_t *points = member(report, "timeline", "points");
    double slot_s = number(report, "timeline", "slot_s"), ok = 0, error = 0;
    size_t n = json_array_size(points);
    ck_assert(n >= 6 && n <= 240);
    for (size_t i = 0; i < n; i++) {
        const json_t *point = json_array_get(points, i);
        CHECK_NUMBER(point, "t", NULL, (double)i * slot_s);
        ok += number(point, "ok", NULL);
        error += number(point, "error", NULL);
    }
    ck_assert_double_eq(ok, 90);
    ck_assert_double_eq(error, 5);
    ck_assert_double_le((double)(n - 1) * slot_s, 2);
    ck_assert_double_gt((double)n * slot_s, 2);

    const json_t *percentiles = member(report, "percentiles", NULL);
    double quantile = -1, value = 0;
    for (size_t i = 0; i < json_array_size(percentiles); i++) {
        const json_t *point = json_array_get(percentiles, i);
        ck_assert_double_gt(json_number_value(json_array_get(point, 0)), quantile);
        ck_assert_double_ge(json_number_value(json_array_get(point, 1)), value);
        quantile = json_number_value(json_array_get(point, 0));
        value = json_number_value(json_array_get(point, 1));
    }
    ck_assert_double_eq(quantile, 1);
    ck_assert_double_eq(value, 100);

    const json_t *bars = member(report, "histogram", NULL);
    double bound_ms = 0, counted = 0;
    for (size_t i = 0; i < json_array_size(bars); i++) {
        const json_t *bar = json_array_get(bars, i);
        ck_assert_double_gt(json_number_value(json_array_get(bar, 0)), bound_ms);
        bound_ms = json_number_value(json_array_get(bar, 0));
        counted += json_number_value(json_array_get(bar, 1));
    }
    ck_assert_double_eq(counted, 90);
    json_decref(report);
    free_sample(sample);
}
END_TEST

START_TEST(an_empty_run_can_be_reported)
{
    struct sample *sample = new_sample();
    measure_clear(&sample->measure);
    sample->summary.duration_s = 0;
    json_t *report = report_of(&sample->summary);
    CHECK_NUMBER(report, "rate", NULL, 0);
    ck_assert(json_is_null(member(report, "latency_ms", "p99")));
    ck_assert(json_is_null(member(report, "check", NULL)));
    ck_assert_uint_eq(json_array_size(member(report, "percentiles", NULL)), 0);
    ck_assert_uint_eq(json_array_size(member(report, "histogram", NULL)), 0);
    ck_assert_uint_eq(json_array_size(member(report, "timeline", "points")), 0);
    json_decref(report);
    struct buffer text = {0};
    report_table(&sample->summary, &text);
    report_html(&sample->summary, &text);
    ck_assert(!text.failed);
    buffer_release(&text);
    free_sample(sample);
}
END_TEST

static size_t count_text(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

START_TEST(no_text_ends_the_script_of_the_page)
{
    struct sample *sample = new_sample();
    struct buffer bare = {0}, page = {0};
    report_html(&sample->summary, &bare);
    add_verdict(sample, 1);
    report_html(&sample->summary, &page);
    ck_assert(!page.failed);
    ck_assert_uint_eq(count_text(page.data, "</script>"), 2);
    ck_assert_uint_eq(count_text(page.data, "<!--"), count_text(bare.data, "<!--"));

    const char *start = strstr(page.data, "<script type=\"application/json\" id=\"report\">");
    ck_assert_ptr_nonnull(start);
    start = strchr(start, '>') + 1;
    const char *end = strstr(start, "</script>");
    json_t *report = json_loadb(start, (size_t)(end - start), 0, NULL);
    ck_assert_ptr_nonnull(report);
    ck_assert_str_eq(json_string_value(member(report, "facts", "note")), NASTY);
    const json_t *invariant = json_array_get(member(report, "check", "invariants"), 0);
    ck_assert_str_eq(json_string_value(member(invariant, "sentence", NULL)), NASTY);
    json_decref(report);
    buffer_release(&bare);
    buffer_release(&page);
    free_sample(sample);
}
END_TEST

START_TEST(the_page_asks_nobody)
{
    struct sample *sample = new_sample();
    sample->summary.n_targets = 0;
    struct buffer page = {0};
    report_html(&sample->summary, &page);
    ck_assert_ptr_nonnull(strstr(page.data, "default-src 'none'"));
    ck_assert_ptr_nonnull(strstr(page.data, "<noscript>"));
    // The one address is the name of the SVG namespace.
    ck_assert_uint_eq(count_text(page.data, "://"), 1);
    buffer_release(&page);
    free_sample(sample);
}
END_TEST

START_TEST(table_tells_it_all_in_100_columns)
{
    struct sample *sample = new_sample();
    for (int i = 0; i < 40; i++) {
        char slug[32];
        text_format(slug, sizeof slug, "some-problem-%d", i);
        measure_problem(&sample->measure, slug);
    }
    sample->summary.requirements[0] = judge(sample, "p50<20ms");
    sample->summary.requirements[1] = judge(sample, "violations==0");
    sample->summary.requirements[2] = judge(sample, "requests>=100");
    sample->summary.n_requirements = 3;
    sample->summary.history_path = "k3x9.jsonl";
    add_verdict(sample, 1);
    struct buffer table = {0};
    report_table(&sample->summary, &table);
    static const char *const wanted[] = {"k3x9",
                                         "1,234 connections",
                                         "97 of 98 begun",
                                         "49 answered a second",
                                         "ok 90 (90%)",
                                         "error 5 (5%)",
                                         "409 5",
                                         "no answer 2",
                                         "out-of-stock 2",
                                         "some-problem-39 1",
                                         "50.0 ms",
                                         "retries 3",
                                         "conservation",
                                         "FAIL  p50<20ms",
                                         "not measured",
                                         "pass  requests>=100",
                                         "VIOLATED: 1 violation\n",
                                         "k3x9.jsonl",
                                         "outcome unknown 2",
                                         "operations   ",
                                         "3 retries"};
    for (size_t i = 0; i < ARRAY_LENGTH(wanted); i++)
        ck_assert_msg(strstr(table.data, wanted[i]), "no '%s' in\n%s", wanted[i], table.data);
    ck_assert_ptr_null(strchr(table.data, '\x1b')); // a server's text cannot control the terminal
    for (const char *line = table.data; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        ck_assert_msg(length <= 100, "%zu columns: %.*s", length, (int)length, line);
        line += length + (line[length] == '\n');
    }
    buffer_release(&table);
    free_sample(sample);
}
END_TEST

// A server's text cannot control the terminal, nor forge a line.
START_TEST(only_printable_text_is_printed)
{
    static const struct {
        const char *text, *printed;
    } cases[] = {
        {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 ~",
         "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 ~"},
        {"\x01\x1b[2J\x1f\x7f", "??[2J??"},
        {"a\nb\tc\rd", "a?b?c?d"},
        {"\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0", "??????\xc2\xa0"}, // C1 ends at U+009F
        {"\x9b"
         "31m",
         "?31m"},                                   // C1 as one byte
        {"\xc0\x9b \xc1\x9b \xf5\x9b", "?? ?? ??"}, // no UTF-8
        {"\xc3(", "?("},
        {"\xe2\x82", "??"}, // cut off
        {"", ""},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct buffer out = {0};
        buffer_append_text(&out, "");
        buffer_append_printable(&out, cases[i].text, strlen(cases[i].text));
        ck_assert_str_eq(out.data, cases[i].printed);
        buffer_release(&out);
    }
    struct buffer table = {0}, text = {0};
    struct sample *sample = new_sample();
    add_verdict(sample, 1);
    measure_problem(&sample->measure, "x\nOk: 0 violations");
    text_copy(sample->shown.sentence, sizeof sample->shown.sentence, "x\nOk: 0 violations");
    text_copy(sample->shown.events[0].who, sizeof sample->shown.events[0].who,
              "x\nOk: 0 violations");
    report_table(&sample->summary, &table);
    ck_assert_ptr_null(strstr(table.data, "\nOk: 0 violations"));
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    buffer_append_text(&text, "one\x1b\n\ntwo\xc2\x9b\n");
    ck_assert(report_print(file, &text));
    char printed[64] = "";
    rewind(file);
    ck_assert_uint_gt(fread(printed, 1, sizeof printed - 1, file), 0);
    ck_assert_str_eq(printed, "one?\n\ntwo??\n");
    fclose(file);
    buffer_release(&table);
    buffer_release(&text);
    free_sample(sample);
}
END_TEST

START_TEST(the_live_line_fits)
{
    struct sample *sample = new_sample();
    struct buffer line = {0};
    report_live(&sample->measure, 2, &sample->measure, 12.34, 0.61, 100, &line);
    ck_assert_str_eq(line.data, " 12.3 s       49/s  p50 50.0 ms  p99 99.0 ms  errors 5"
                                "  [######----]  61%");
    struct buffer full = {0};
    report_live(&sample->measure, 2, &sample->measure, 12.34, 7, 100, &full);
    ck_assert_ptr_nonnull(strstr(full.data, "[##########] 100%"));
    for (size_t columns = 0; columns < 100; columns++) {
        buffer_clear(&line);
        report_live(&sample->measure, 2, &sample->measure, 12.34, 7, columns, &line);
        ck_assert_uint_le(line.length, columns);
        ck_assert_int_eq(strncmp(line.data, full.data, line.length), 0);
    }
    buffer_release(&full);
    buffer_clear(&line);
    measure_clear(&sample->measure);
    report_live(&sample->measure, 0, &sample->measure, 0, -1, 100, &line);
    ck_assert_ptr_nonnull(strstr(line.data, "errors 0"));
    ck_assert_ptr_null(strchr(line.data, '['));
    buffer_release(&line);
    free_sample(sample);
}
END_TEST

// A folder with one earlier report in it.
struct folder {
    char path[64], file[96];
};

static struct folder new_folder(void)
{
    struct folder folder = {.path = "/tmp/holdfast-test-XXXXXX"};
    ck_assert_ptr_nonnull(mkdtemp(folder.path));
    text_format(folder.file, sizeof folder.file, "%s/report.json", folder.path);
    struct buffer old = {0};
    char error[HISTORY_ERROR_MAX];
    buffer_append_text(&old, "earlier\n");
    ck_assert(report_save(folder.file, &old, error));
    buffer_release(&old);
    return folder;
}

static void check_content(const char *path, const char *wanted)
{
    char text[64] = "";
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(file, 0);
    ck_assert_int_ge(read(file, text, sizeof text - 1), 0);
    close(file);
    ck_assert_str_eq(text, wanted);
}

// Fails if the folder holds anything but the report.
static void remove_folder(const struct folder *folder)
{
    ck_assert_int_eq(unlink(folder->file), 0);
    ck_assert_int_eq(rmdir(folder->path), 0);
}

START_TEST(a_full_disk_leaves_the_earlier_report)
{
    struct folder folder = new_folder();
    struct buffer text = {0};
    char error[HISTORY_ERROR_MAX] = "";
    for (int i = 0; i < 10000; i++)
        buffer_append_text(&text, "0123456789");
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before, limit;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){5000, before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    bool saved = report_save(folder.file, &text, error);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    ck_assert(!saved);
    ck_assert_ptr_nonnull(strstr(error, folder.file));
    check_content(folder.file, "earlier\n");
    ck_assert(report_save(folder.file, &text, error));
    struct stat status;
    ck_assert_int_eq(stat(folder.file, &status), 0);
    ck_assert_int_eq(status.st_size, 100000);
    buffer_release(&text);
    remove_folder(&folder);
}
END_TEST

START_TEST(what_cannot_be_written_is_said)
{
    struct folder folder = new_folder();
    struct buffer text = {0};
    buffer_append_text(&text, "{}");
    char path[160], error[HISTORY_ERROR_MAX] = "";
    text_format(path, sizeof path, "%s/nowhere/report.json", folder.path);
    ck_assert(!report_save(path, &text, error));
    ck_assert_ptr_nonnull(strstr(error, "No such file"));
    ck_assert(!report_save(folder.path, &text, error)); // a folder
    ck_assert_ptr_nonnull(strstr(error, folder.path));
    text.failed = true; // out of memory while the report was made
    ck_assert(!report_save(folder.file, &text, error));
    check_content(folder.file, "earlier\n");
    buffer_release(&text);
    remove_folder(&folder);
}
END_TEST

// /dev/stdout and the like: a rename would replace the device.
START_TEST(what_is_no_file_is_written_to)
{
    struct folder folder = new_folder();
    struct buffer text = {0};
    buffer_append_text(&text, "new\n");
    char pipe[96], link[96], error[HISTORY_ERROR_MAX] = "";
    text_format(pipe, sizeof pipe, "%s/pipe", folder.path);
    ck_assert_int_eq(mkfifo(pipe, 0600), 0);
    int reader = open(pipe, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ck_assert_int_ge(reader, 0);
    ck_assert_msg(report_save(pipe, &text, error), "%s", error);
    char read_back[16] = "";
    ck_assert_int_eq(read(reader, read_back, sizeof read_back - 1), 4);
    ck_assert_str_eq(read_back, "new\n");
    close(reader);
    ck_assert_int_eq(unlink(pipe), 0);

    text_format(link, sizeof link, "%s/link", folder.path);
    ck_assert_int_eq(symlink(folder.file, link), 0);
    ck_assert_msg(report_save(link, &text, error), "%s", error);
    check_content(folder.file, "new\n");
    struct stat status;
    ck_assert_int_eq(lstat(link, &status), 0);
    ck_assert(S_ISLNK(status.st_mode));
    ck_assert_int_eq(unlink(link), 0);
    buffer_release(&text);
    remove_folder(&folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("report");
    TCase *tests = tcase_create("report");
    tcase_add_test(tests, requirements_are_judged);
    tcase_add_test(tests, violations_need_a_verdict);
    tcase_add_test(tests, a_kind_that_never_succeeds_is_undone);
    tcase_add_test(tests, an_empty_run_fulfils_nothing_it_did_not_measure);
    tcase_add_test(tests, bad_requirements_are_refused_with_what_is_possible);
    tcase_add_test(tests, json_has_the_right_numbers);
    tcase_add_test(tests, json_timeline_and_percentiles_cover_the_run);
    tcase_add_test(tests, an_empty_run_can_be_reported);
    tcase_add_test(tests, no_text_ends_the_script_of_the_page);
    tcase_add_test(tests, the_page_asks_nobody);
    tcase_add_test(tests, table_tells_it_all_in_100_columns);
    tcase_add_test(tests, only_printable_text_is_printed);
    tcase_add_test(tests, the_live_line_fits);
    tcase_add_test(tests, a_full_disk_leaves_the_earlier_report);
    tcase_add_test(tests, what_cannot_be_written_is_said);
    tcase_add_test(tests, what_is_no_file_is_written_to);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
