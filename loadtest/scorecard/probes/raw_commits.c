// The ceiling of the database: the rows that a section writes, in the same tables, with no service
// in front. Prints operations a second.
//
//     raw_commits STORE CONNECTIONS BATCH COUNTERS SECONDS [RULE]
//
// RULE `conditional`, the default, writes first and reads what the row has become. `fenced` is what
// a section with a lock does: it reads, then writes if version and token still match.
//
// BATCH operations share a transaction; 1 is one durable commit an operation, as in direct mode.
// With one counter every connection writes the same row: a connection waits for the other's row
// lock, but not for its commit to reach the disk. With more counters, a transaction takes as many
// neighbours as it can, from a random one on, so that connections mostly write different rows.
//
// What breaks it: a deadlock is rolled back and retried, and is not counted.
#include "base/clock.h"
#include "base/random.h"
#include "base/text.h"
#include "domain/operation.h"
#include "store/db/db.h"
#include "store/migrate/migrate.h"
#include "store/tables/counter.h"
#include "store/tables/ledger.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS_MAX 64
#define BATCH_MAX 1024
#define COUNTERS_MAX 100000

struct work {
    struct store *store;
    int64_t connections, batch, counters, seconds;
    enum update_rule rule;
    char prefix[48]; // of the counters' names
};

struct writer {
    pthread_t thread;
    const struct work *work;
    int64_t until_ns, written;
    bool failed;
    size_t n; // counters in a transaction
    struct counter counters[BATCH_MAX];
    struct counter_change changes[BATCH_MAX];
    struct ledger_row rows[BATCH_MAX];
};

static void name_counter(const struct work *work, int64_t number, char *ret_name)
{
    text_format(ret_name, COUNTER_NAME_MAX + 1, "%s%06d", work->prefix, (int)number);
}

// How many operations of the batch change the i-th counter.
static size_t share(const struct writer *writer, size_t i)
{
    size_t batch = (size_t)writer->work->batch;
    return batch / writer->n + (i < batch % writer->n ? 1 : 0);
}

// Assumes that the rows exist and hold enough, as a section does that writes before it reads.
static void choose_counters(struct writer *writer)
{
    const struct work *work = writer->work;
    uint64_t first = random_below((uint64_t)work->counters - writer->n + 1);
    for (size_t i = 0; i < writer->n; i++) {
        struct counter *counter = &writer->counters[i];
        *counter = (struct counter){.remaining = REMAINING_MAX / 2, .version = 1};
        name_counter(work, (int64_t)(first + i), counter->name);
    }
}

static void plan_changes(struct writer *writer)
{
    for (size_t i = 0; i < writer->n; i++) {
        const struct counter *counter = &writer->counters[i];
        int64_t taken = (int64_t)share(writer, i);
        writer->changes[i] = (struct counter_change){.before = *counter,
                                                     .remaining = counter->remaining - taken,
                                                     .version = counter->version + taken};
    }
}

// `remaining` is already updated, so the rows are computed backwards from it.
static void fill_rows(struct writer *writer)
{
    struct ledger_row *row = writer->rows;
    enum update_rule rule = writer->work->rule;
    for (size_t i = 0; i < writer->n; i++) {
        const struct counter *counter = &writer->counters[i];
        for (int64_t left = (int64_t)share(writer, i) - 1; left >= 0; left--, row++) {
            uint64_t key[2];
            random_bytes(key, sizeof key);
            *row = (struct ledger_row){.version = counter->version - left,
                                       .delta = -1,
                                       .remaining = counter->remaining + left,
                                       .fingerprint = INT64_MAX / 3,
                                       .reason = "deduct",
                                       .token = rule == RULE_FENCED ? counter->version : 0,
                                       .created_at_ms = clock_wall_ms()};
            text_copy(row->counter, sizeof row->counter, counter->name);
            text_copy(row->strategy, sizeof row->strategy, update_rules[rule].name);
            text_format(row->request_key, sizeof row->request_key, "%016lx%08x",
                        (unsigned long)key[0], (unsigned)key[1]);
        }
    }
}

static enum rc write_unread(struct writer *writer, struct db *db)
{
    int64_t now_ms;
    plan_changes(writer);
    enum rc rc = db_begin(db, DB_BEGIN_WRITE_LATE);
    if (rc == RC_OK)
        rc = counter_save_before_load(db, RULE_CONDITIONAL, 0, writer->changes, writer->n);
    return rc == RC_OK ? counter_load(db, writer->counters, writer->n, false, &now_ms) : rc;
}

// The token increases with every write, like a lock's token.
static enum rc read_and_write(struct writer *writer, struct db *db)
{
    int64_t now_ms;
    enum rc rc = counter_load(db, writer->counters, writer->n, false, &now_ms);
    if (rc != RC_OK)
        return rc;
    plan_changes(writer);
    rc = db_begin(db, DB_BEGIN_WRITE_LATE);
    if (rc == RC_OK)
        rc = counter_save(db, RULE_FENCED, (uint64_t)writer->counters[0].version, writer->changes,
                          writer->n);
    for (size_t i = 0; rc == RC_OK && i < writer->n; i++) {
        writer->counters[i].remaining = writer->changes[i].remaining;
        writer->counters[i].version = writer->changes[i].version;
    }
    return rc;
}

static enum rc write_batch(struct writer *writer, struct db *db)
{
    choose_counters(writer);
    bool reads = writer->work->rule == RULE_FENCED;
    enum rc rc = reads ? read_and_write(writer, db) : write_unread(writer, db);
    if (rc != RC_OK)
        return rc;
    fill_rows(writer);
    rc = ledger_insert(db, writer->rows, (size_t)writer->work->batch);
    return rc == RC_OK ? db_commit(db) : rc;
}

static void *write_on(void *arg)
{
    struct writer *writer = arg;
    struct db *db;
    if (db_new(writer->work->store, &db) != RC_OK) {
        writer->failed = true;
        return NULL;
    }
    while (!writer->failed && clock_now_ns() < writer->until_ns) {
        enum rc rc = write_batch(writer, db);
        if (rc == RC_OK) {
            writer->written += writer->work->batch;
            continue;
        }
        if (rc != RC_CONFLICT) {
            fprintf(stderr, "raw_commits: %s: %s\n", rc_slug(rc), db_error(db));
            writer->failed = true;
        }
        db_rollback(db);
    }
    db_free(db);
    return NULL;
}

// Prints the rate. False if a writer failed.
static bool run_writers(const struct work *work)
{
    struct writer *writers = calloc((size_t)work->connections, sizeof *writers);
    if (writers == NULL)
        return false;
    int64_t from_ns = clock_now_ns(), started = 0, total = 0;
    bool failed = false;
    for (; started < work->connections; started++) {
        struct writer *writer = &writers[started];
        writer->work = work;
        writer->until_ns = from_ns + work->seconds * NS_PER_S;
        writer->n = (size_t)(work->counters < work->batch ? work->counters : work->batch);
        if (pthread_create(&writer->thread, NULL, write_on, writer) != 0)
            break;
    }
    for (int64_t i = 0; i < started; i++) {
        pthread_join(writers[i].thread, NULL);
        total += writers[i].written;
        failed = failed || writers[i].failed;
    }
    printf("%.1f\n", (double)total * (double)NS_PER_S / (double)(clock_now_ns() - from_ns));
    free(writers);
    return !failed && started == work->connections;
}

// In one transaction, because a thousand commits would take longer than the measurement.
static enum rc insert_counters(const struct work *work, struct db *db)
{
    enum rc rc = db_begin(db, DB_BEGIN_WRITE);
    for (int64_t i = 0; rc == RC_OK && i < work->counters; i++) {
        char name[COUNTER_NAME_MAX + 1];
        name_counter(work, i, name);
        rc = counter_insert(db, name, REMAINING_MAX);
    }
    return rc == RC_OK ? db_commit(db) : rc;
}

static bool set_up(const char *url, struct work *work)
{
    struct db *db = NULL;
    char error[MIGRATE_ERROR_MAX + DB_ERROR_MAX] = "out of memory";
    uint64_t number;
    random_bytes(&number, sizeof number);
    text_format(work->prefix, sizeof work->prefix, "stock/raw-%016lx-", (unsigned long)number);
    if (store_open(url, &work->store, error) != RC_OK ||
        store_claim(work->store, DB_CLAIM_UP, error) != RC_OK ||
        db_new(work->store, &db) != RC_OK || migrate_up(db, 10000, NULL, error) != RC_OK) {
        fprintf(stderr, "raw_commits: %s\n", error);
        db_free(db);
        return false;
    }
    enum rc rc = insert_counters(work, db);
    if (rc != RC_OK)
        fprintf(stderr, "raw_commits: %s: %s\n", rc_slug(rc), db_error(db));
    db_free(db);
    return rc == RC_OK;
}

static bool parse(const char *text, int64_t max, int64_t *ret_value)
{
    return text_to_int64(text, ret_value) && *ret_value >= 1 && *ret_value <= max;
}

static bool parse_rule(const char *text, enum update_rule *ret_rule)
{
    *ret_rule = strcmp(text, "fenced") == 0 ? RULE_FENCED : RULE_CONDITIONAL;
    return strcmp(text, update_rules[*ret_rule].name) == 0;
}

int main(int argc, char **argv)
{
    struct work work = {.rule = RULE_CONDITIONAL};
    if (argc < 6 || argc > 7 || !parse(argv[2], CONNECTIONS_MAX, &work.connections) ||
        !parse(argv[3], BATCH_MAX, &work.batch) || !parse(argv[4], COUNTERS_MAX, &work.counters) ||
        !parse(argv[5], 600, &work.seconds) || (argc == 7 && !parse_rule(argv[6], &work.rule))) {
        fputs("usage: raw_commits STORE CONNECTIONS BATCH COUNTERS SECONDS [RULE]\n", stderr);
        return 2;
    }
    if (!set_up(argv[1], &work))
        return 2;
    bool fine = run_writers(&work);
    store_close(work.store);
    return fine ? 0 : 1;
}
