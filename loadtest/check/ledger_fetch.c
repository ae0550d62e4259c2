// Fetches a consistent ledger over HTTP: the counters, their ledgers, then the counters again. If
// no counter changed in between, everything belongs to one moment. If one did, requests that timed
// out at the client are still running, and everything is fetched again, up to 10 times, 200 ms
// apart.
//
// Pages are requested by version. A service that loses updates may have written one version several
// times, and a page may end in the middle of it. So the last version of a full page is left to the
// next page.
//
// A broken service may send pages without end. Each page must begin after the one before, and its
// rows must be in order, so a page that repeats is an error. The rows of all counters are bounded.
#include "check/ledger.h"

#include "base/clock.h"
#include "base/text.h"
#include "control/http.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 1000
#define ROWS_MAX ((size_t)20 * 1000 * 1000) // about 2 GB, or 20,000 pages
#define TRIES 10
#define PAUSE_NS (200 * NS_PER_MS)

struct fetch {
    struct http *http;
    const struct history_head *head;
    struct ledger_builder builder;
    size_t n_received; // rows, since the builder was made
    char *ret_error;
};

static bool fail(const struct fetch *fetch, size_t counter, const char *what)
{
    text_format(fetch->ret_error, HISTORY_ERROR_MAX, "The ledger of %s cannot be read: %s.",
                fetch->head->counters[counter].name, what);
    return false;
}

static bool read_int(const json_t *object, const char *name, int64_t *ret_number)
{
    const json_t *value = json_object_get(object, name);
    *ret_number = json_integer_value(value);
    return json_is_integer(value);
}

// False if it is missing, empty, or not a text.
static bool read_text(const json_t *object, const char *name, const char **ret_text)
{
    const char *text = json_string_value(json_object_get(object, name));
    *ret_text = text != NULL ? text : "";
    return **ret_text != '\0';
}

// Null is "".
static bool read_text_or_null(const json_t *object, const char *name, const char **ret_text)
{
    return read_text(object, name, ret_text) || json_is_null(json_object_get(object, name));
}

static bool read_row(const json_t *json, struct ledger_row *row)
{
    return read_int(json, "version", &row->version) && read_int(json, "delta", &row->delta) &&
           read_int(json, "remaining", &row->remaining) && read_int(json, "leg", &row->leg) &&
           row->leg >= 0 && row->leg <= LEDGER_LEG_MAX && read_int(json, "token", &row->token) &&
           read_int(json, "created_at_ms", &row->created_at_ms) &&
           read_text_or_null(json, "request_key", &row->key) &&
           read_text_or_null(json, "user_id", &row->user) &&
           read_text(json, "reason", &row->reason) && read_text(json, "strategy", &row->strategy);
}

// Keeps the rows of a page whose version is below `end`. The page must begin after version `after`.
static bool keep_rows(struct fetch *fetch, size_t counter, const json_t *page, int64_t after,
                      int64_t end)
{
    int64_t before = after;
    for (size_t i = 0; i < json_array_size(page); i++) {
        struct ledger_row row = {.counter = counter};
        if (!read_row(json_array_get(page, i), &row))
            return fail(fetch, counter, "a row does not match api/openapi.yaml");
        if (i == 0 ? row.version <= before : row.version < before)
            return fail(fetch, counter, "the versions of a page are not in ascending order");
        before = row.version;
        if (row.version < end && !ledger_builder_add(&fetch->builder, &row))
            return fail(fetch, counter, "out of memory");
    }
    return true;
}

// Keeps the rows of the page that are complete. `after`: the version after which this page begins;
// it becomes that of the next page, or 0 if this was the last page.
static bool take_page(struct fetch *fetch, size_t counter, const json_t *page, int64_t *after)
{
    size_t n = json_array_size(page);
    int64_t begin = *after, first = 0, last = 0;
    if (n > PAGE)
        return fail(fetch, counter, "a page has more rows than were asked for");
    fetch->n_received += n;
    if (fetch->n_received > ROWS_MAX)
        return fail(fetch, counter, "the ledgers have more than 20 million rows");
    if (n < PAGE) {
        *after = 0;
        return keep_rows(fetch, counter, page, begin, INT64_MAX);
    }
    if (!read_int(json_array_get(page, 0), "version", &first) ||
        !read_int(json_array_get(page, n - 1), "version", &last))
        return fail(fetch, counter, "a row does not match api/openapi.yaml");
    // A whole page of one version: there may be more rows of it, but these are enough to be
    // reported.
    bool one_version = first == last;
    *after = one_version ? last : last - 1;
    return keep_rows(fetch, counter, page, begin, one_version ? INT64_MAX : last);
}

static bool fetch_rows(struct fetch *fetch, size_t counter)
{
    int64_t after = 0;
    do {
        char path[HISTORY_COUNTER_MAX + 100];
        text_format(path, sizeof path, "/v1/ledger?counter=%s&after_version=%lld&limit=%d",
                    fetch->head->counters[counter].name, (long long)after, PAGE);
        json_t *answer = NULL;
        if (!http_call(fetch->http, "GET", path, NULL, &answer, fetch->ret_error))
            return false;
        const json_t *page = json_object_get(answer, "rows");
        bool taken = json_is_array(page) ? take_page(fetch, counter, page, &after)
                                         : fail(fetch, counter, "the answer has no list of rows");
        json_decref(answer);
        if (!taken)
            return false;
    } while (after != 0);
    return true;
}

// The counter's path in the API, and for a prize its name: "prize/WHEEL/gold" is `gold` at
// /v1/lotteries/WHEEL.
static void locate(const struct history_counter *counter, char *path, size_t size,
                   const char **ret_prize)
{
    static const char *const nouns[] = {[COUNTER_STOCK] = "stock",
                                        [COUNTER_COUPON] = "coupons",
                                        [COUNTER_LOTTERY] = "lotteries",
                                        [COUNTER_PRIZE] = "lotteries",
                                        [COUNTER_POINTS] = "points"};
    const char *id = strchr(counter->name, '/');
    id = id != NULL ? id + 1 : counter->name;
    const char *slash = counter->kind == COUNTER_PRIZE ? strchr(id, '/') : NULL;
    *ret_prize = slash != NULL ? slash + 1 : "";
    int length = (int)(slash != NULL ? (size_t)(slash - id) : strlen(id));
    text_format(path, size, "/v1/%s/%.*s", nouns[counter->kind], length, id);
}

static const json_t *find_prize(const json_t *lottery, const char *name)
{
    const json_t *prizes = json_object_get(lottery, "prizes");
    for (size_t i = 0; i < json_array_size(prizes); i++) {
        const json_t *prize = json_array_get(prizes, i);
        const char *found = json_string_value(json_object_get(prize, "prize"));
        if (found != NULL && strcmp(found, name) == 0)
            return prize;
    }
    return NULL;
}

static bool fetch_finals(struct fetch *fetch, struct ledger_final *finals)
{
    char known[HISTORY_COUNTER_MAX + 20] = "";
    json_t *noun = NULL;
    bool fetched = true;
    for (size_t i = 0; i < fetch->head->n_counters && fetched; i++) {
        const struct history_counter *counter = &fetch->head->counters[i];
        char path[sizeof known];
        const char *prize;
        if (!counter_kind_is_reported(counter->kind))
            continue; // find_last
        locate(counter, path, sizeof path, &prize);
        // A lottery and its prizes follow each other and share one answer.
        if (strcmp(path, known) != 0) {
            json_decref(noun);
            noun = NULL;
            text_copy(known, sizeof known, path);
            fetched = http_call(fetch->http, "GET", path, NULL, &noun, fetch->ret_error);
        }
        const json_t *place = counter->kind == COUNTER_PRIZE ? find_prize(noun, prize) : noun;
        finals[i] = (struct ledger_final){.known = true};
        if (fetched &&
            (!read_int(place, counter->kind == COUNTER_POINTS ? "points" : "remaining",
                       &finals[i].remaining) ||
             (counter->kind != COUNTER_PRIZE && !read_int(place, "version", &finals[i].version))))
            fetched = fail(fetch, i, "the answer for the counter lacks `remaining` or `version`");
    }
    json_decref(noun);
    return fetched;
}

// The API does not report the state of a hold, an order or a code: its last row does.
static void find_last(const struct fetch *fetch)
{
    const struct ledger *ledger = fetch->builder.ledger;
    for (size_t i = 0; i < fetch->head->n_counters; i++) {
        if (!counter_kind_is_reported(fetch->head->counters[i].kind))
            ledger->finals[i].known = true;
    }
    for (size_t i = 0; i < ledger->n_rows; i++) {
        const struct ledger_row *row = &ledger->rows[i];
        if (!counter_kind_is_reported(fetch->head->counters[row->counter].kind))
            ledger->finals[row->counter] =
                (struct ledger_final){row->version, row->remaining, true};
    }
}

// The first counter that changed between the two readings, or SIZE_MAX.
static size_t find_changed(const struct fetch *fetch, const struct ledger_final *before)
{
    const struct ledger_final *now = fetch->builder.ledger->finals;
    for (size_t i = 0; i < fetch->head->n_counters; i++) {
        if (before[i].version != now[i].version || before[i].remaining != now[i].remaining)
            return i;
    }
    return SIZE_MAX;
}

static bool fetch_once(struct fetch *fetch, struct ledger_final *before, size_t *ret_changed)
{
    if (!fetch_finals(fetch, before))
        return false;
    for (size_t i = 0; i < fetch->head->n_counters; i++) {
        if (!fetch_rows(fetch, i))
            return false;
    }
    if (!fetch_finals(fetch, fetch->builder.ledger->finals))
        return false;
    *ret_changed = find_changed(fetch, before);
    find_last(fetch);
    return true;
}

static bool fetch_until_unchanged(struct fetch *fetch, struct ledger *ledger,
                                  struct ledger_final *before)
{
    for (int tried = 1;; tried++) {
        size_t changed = SIZE_MAX;
        fetch->n_received = 0;
        if (!ledger_builder_init(&fetch->builder, ledger, fetch->head->n_counters))
            return fail(fetch, 0, "out of memory");
        if (!fetch_once(fetch, before, &changed))
            return false;
        if (changed == SIZE_MAX)
            return true;
        if (tried == TRIES)
            return fail(fetch, changed,
                        "it keeps changing; stop the other clients that write to it");
        ledger_release(ledger);
        clock_sleep_ns(PAUSE_NS);
    }
}

bool ledger_fetch(struct http *http, const struct history_head *head, struct ledger *ret_ledger,
                  char *ret_error)
{
    struct fetch fetch = {.http = http, .head = head, .ret_error = ret_error};
    struct ledger ledger = {0};
    size_t n = head->n_counters > 0 ? head->n_counters : 1;
    struct ledger_final *before CLEANUP(free_memory) = calloc(n, sizeof *before);
    if (before == NULL) {
        text_format(ret_error, HISTORY_ERROR_MAX, "The ledger cannot be read: out of memory.");
        return false;
    }
    if (!fetch_until_unchanged(&fetch, &ledger, before)) {
        ledger_release(&ledger);
        return false;
    }
    *ret_ledger = ledger;
    return true;
}
