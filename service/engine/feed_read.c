// The feed's reads.
//
// The counters of a round are sorted by name, and those of one name by the version that the client
// knows. One query reads the versions of all names. A counter that has news is read from the
// smallest version that a client knows, and the rows go to all clients that miss them. Only a
// client that knows more than was read makes another query, so 1,000 clients of a hot counter cost
// one or a few.
//
// What breaks it: a version without its ledger row. Its counter would be read again in each poll.
#include "engine/feed_read.h"

#include "base/clock.h"
#include "base/text.h"
#include "domain/counter.h"
#include "store/db/db.h"
#include "store/tables/counter.h"
#include "store/tables/ledger.h"

#include <stdlib.h>
#include <string.h>

#define READ_NS (2 * NS_PER_S) // for the reads of one round
#define NAMES_AT_ONCE 256      // in one query

// A counter of a request, to be read in this round.
struct want {
    struct feed_counter *counter;
    struct feed_request *request;
    int64_t version; // as read
};

// Rows of one counter, versions without gaps.
struct page {
    size_t n;
    struct ledger_row rows[FEED_ROWS_MAX];
};

struct feed_reader {
    struct db *db;
    struct want *wants; // sorted by name, then by `after`
    size_t n, capacity;
    struct counter names[NAMES_AT_ONCE];
    struct page page;
};

enum rc feed_reader_new(struct store *store, struct feed_reader **ret_reader)
{
    struct feed_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return RC_NO_MEMORY;
    enum rc rc = db_new(store, &reader->db);
    if (rc == RC_OK)
        *ret_reader = reader;
    else
        free(reader);
    return rc;
}

void feed_reader_free(struct feed_reader *reader)
{
    if (reader == NULL)
        return;
    db_free(reader->db);
    free(reader->wants);
    free(reader);
}

void feed_reader_expire(struct feed_reader *reader)
{
    db_expire(reader->db);
}

void feed_reader_begin(struct feed_reader *reader)
{
    reader->n = 0;
}

enum rc feed_reader_add(struct feed_reader *reader, struct feed_request *request,
                        struct feed_counter *counter)
{
    if (reader->n == reader->capacity) {
        size_t capacity = reader->capacity > 0 ? 2 * reader->capacity : 256;
        void *grown = realloc(reader->wants, capacity * sizeof *reader->wants);
        if (grown == NULL)
            return RC_NO_MEMORY;
        reader->wants = grown;
        reader->capacity = capacity;
    }
    reader->wants[reader->n++] = (struct want){.counter = counter, .request = request};
    return RC_OK;
}

static int compare_want(const void *left, const void *right)
{
    const struct feed_counter *a = ((const struct want *)left)->counter;
    const struct feed_counter *b = ((const struct want *)right)->counter;
    int order = strcmp(a->name, b->name);
    return order != 0 ? order : (a->after > b->after) - (a->after < b->after);
}

static bool same_name(const struct want *a, const struct want *b)
{
    return strcmp(a->counter->name, b->counter->name) == 0;
}

// Reads the versions of as many names as one query takes, from this want on. ret_next: the first
// want behind them.
static enum rc read_some_versions(struct feed_reader *reader, size_t from, size_t *ret_next)
{
    struct want *wants = reader->wants;
    size_t n = 0, next = from;
    for (; next < reader->n; next++) {
        if (next > from && same_name(&wants[next], &wants[next - 1]))
            continue;
        if (n == NAMES_AT_ONCE)
            break;
        text_copy(reader->names[n].name, sizeof reader->names[n].name, wants[next].counter->name);
        n++;
    }
    int64_t now_ms;
    enum rc rc = counter_load(reader->db, reader->names, n, false, &now_ms);
    for (size_t i = from, at = 0; rc == RC_OK && i < next; i++) {
        at += i > from && !same_name(&wants[i], &wants[i - 1]);
        wants[i].version = reader->names[at].version;
        wants[i].request->n_news += wants[i].version > wants[i].counter->after;
    }
    *ret_next = next;
    return rc;
}

static enum rc on_page_row(void *arg, const struct ledger_row *row)
{
    struct page *page = arg;
    if (page->n == FEED_ROWS_MAX)
        return RC_INTERNAL;
    page->rows[page->n++] = *row;
    return RC_OK;
}

// A request's rows are shared out evenly among its counters with news, so that none of them has to
// wait for the others to become quiet.
static size_t share_of(const struct feed_request *request)
{
    return (size_t)request->max_rows / request->n_news;
}

// Hands the rows that this request does not know yet to it.
static void take_rows(const struct page *page, struct want *want)
{
    struct feed_request *request = want->request;
    size_t share = share_of(request), taken = 0;
    for (size_t i = 0; i < page->n && taken < share; i++) {
        const struct ledger_row *row = &page->rows[i];
        if (row->version <= want->counter->after)
            continue;
        request->on_row(request, row);
        want->counter->after = row->version;
        taken++;
    }
    request->n_rows += taken;
    request->more |= want->counter->after < want->version;
}

// Does the page end before the rows that this request misses, or belong to another counter?
static bool is_beyond(const struct page *page, const struct feed_counter *counter)
{
    if (page->n == 0)
        return true;
    const struct ledger_row *last = &page->rows[page->n - 1];
    return strcmp(last->counter, counter->name) != 0 || last->version <= counter->after;
}

static enum rc read_rows(struct feed_reader *reader)
{
    struct page *page = &reader->page;
    enum rc rc = RC_OK;
    page->n = 0;
    for (size_t i = 0; rc == RC_OK && i < reader->n; i++) {
        struct want *want = &reader->wants[i];
        const struct feed_counter *counter = want->counter;
        if (want->version <= counter->after)
            continue;
        if (is_beyond(page, counter)) {
            page->n = 0;
            rc = ledger_page(reader->db, counter->name, counter->after,
                             (int64_t)share_of(want->request), on_page_row, page);
        }
        if (rc == RC_OK)
            take_rows(page, want);
    }
    return rc;
}

enum rc feed_reader_read(struct feed_reader *reader)
{
    if (reader->n == 0)
        return RC_OK;
    qsort(reader->wants, reader->n, sizeof *reader->wants, compare_want);
    db_set_deadline(reader->db, clock_now_ns() + READ_NS);
    enum rc rc = RC_OK;
    for (size_t next = 0; rc == RC_OK && next < reader->n;)
        rc = read_some_versions(reader, next, &next);
    if (rc == RC_OK)
        rc = read_rows(reader);
    db_set_deadline(reader->db, INT64_MAX);
    return rc;
}
