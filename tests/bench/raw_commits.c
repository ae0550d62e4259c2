// The ceiling of the database: the rows that a section writes, in the same tables, in batches, with
// no service in front. Prints operations a second.
//
//     raw_commits STORE CONNECTIONS BATCH SECONDS
//
// All connections write to one counter, as the service's hot row: one waits for the other's row
// lock, but not for its commit to reach the disk.
#include "base/clock.h"
#include "base/random.h"
#include "base/text.h"
#include "domain/operation.h"
#include "store/counter.h"
#include "store/db.h"
#include "store/ledger.h"
#include "store/migrate.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct writer {
    pthread_t thread;
    struct store *store;
    const char *counter;
    size_t batch;
    int64_t until_ns, written;
    const char *failed;
};

static enum rc write_batch(struct db *db, struct counter *counter, struct ledger_row *rows,
                           size_t n)
{
    struct counter_change change = {.before = *counter,
                                    .remaining = counter->remaining - (int64_t)n,
                                    .version = counter->version + (int64_t)n};
    int64_t now_ms;
    enum rc rc = db_begin(db, DB_BEGIN_WRITE_LATE);
    if (rc == RC_OK)
        rc = counter_save(db, RULE_CONDITIONAL, 0, &change, 1);
    if (rc == RC_OK)
        rc = counter_load(db, counter, 1, false, &now_ms);
    if (rc != RC_OK)
        return rc;
    int64_t version = counter->version - (int64_t)n, remaining = counter->remaining + (int64_t)n;
    for (size_t i = 0; i < n; i++) {
        uint64_t key[2];
        random_bytes(key, sizeof key);
        rows[i].version = version + (int64_t)i + 1;
        rows[i].remaining = remaining - (int64_t)i - 1;
        text_format(rows[i].request_key, sizeof rows[i].request_key, "%016lx%08x",
                    (unsigned long)key[0], (unsigned)key[1]);
    }
    rc = ledger_insert(db, rows, n);
    return rc == RC_OK ? db_commit(db) : rc;
}

static void *write_on(void *arg)
{
    struct writer *writer = arg;
    struct db *db;
    struct counter counter = {0};
    struct ledger_row *rows = calloc(writer->batch, sizeof *rows);
    text_copy(counter.name, sizeof counter.name, writer->counter);
    if (rows == NULL || db_new(writer->store, &db) != RC_OK) {
        writer->failed = "out of memory";
        free(rows);
        return NULL;
    }
    for (size_t i = 0; i < writer->batch; i++) {
        rows[i] = (struct ledger_row){.delta = -1,
                                      .fingerprint = INT64_MAX / 3,
                                      .reason = "deduct",
                                      .strategy = "conditional",
                                      .created_at_ms = clock_wall_ms()};
        text_copy(rows[i].counter, sizeof rows[i].counter, counter.name);
    }
    enum rc rc = RC_OK;
    while (rc == RC_OK && clock_now_ns() < writer->until_ns) {
        rc = write_batch(db, &counter, rows, writer->batch);
        writer->written += (int64_t)writer->batch;
    }
    if (rc != RC_OK) {
        fprintf(stderr, "raw_commits: %s: %s\n", rc_slug(rc), db_error(db));
        writer->failed = rc_slug(rc);
    }
    db_free(db);
    free(rows);
    return NULL;
}

int main(int argc, char **argv)
{
    int64_t connections, batch, seconds;
    if (argc != 5 || !text_to_int64(argv[2], &connections) || !text_to_int64(argv[3], &batch) ||
        !text_to_int64(argv[4], &seconds) || connections < 1 || connections > 64 || batch < 1 ||
        batch > 10000 || seconds < 1 || seconds > 600) {
        fputs("usage: raw_commits STORE CONNECTIONS BATCH SECONDS\n", stderr);
        return 2;
    }
    struct store *store;
    struct db *db;
    char error[MIGRATE_ERROR_MAX + DB_ERROR_MAX];
    if (store_open(argv[1], &store, error) != RC_OK || db_new(store, &db) != RC_OK ||
        migrate_up(db, 10000, NULL, error) != RC_OK) {
        fprintf(stderr, "raw_commits: %s\n", error);
        return 2;
    }
    char counter[COUNTER_NAME_MAX + 1];
    uint64_t number;
    random_bytes(&number, sizeof number);
    text_format(counter, sizeof counter, "stock/raw-%016lx", (unsigned long)number);
    if (counter_insert(db, counter, REMAINING_MAX) != RC_OK) {
        fprintf(stderr, "raw_commits: %s\n", db_error(db));
        return 2;
    }
    db_free(db);
    struct writer writers[64] = {0};
    int64_t from_ns = clock_now_ns(), total = 0;
    for (int64_t i = 0; i < connections; i++) {
        writers[i] = (struct writer){.store = store,
                                     .counter = counter,
                                     .batch = (size_t)batch,
                                     .until_ns = from_ns + seconds * NS_PER_S};
        if (pthread_create(&writers[i].thread, NULL, write_on, &writers[i]) != 0)
            return 2;
    }
    bool failed = false;
    for (int64_t i = 0; i < connections; i++) {
        pthread_join(writers[i].thread, NULL);
        total += writers[i].written;
        failed = failed || writers[i].failed != NULL;
    }
    double took = (double)(clock_now_ns() - from_ns) / (double)NS_PER_S;
    printf("%.0f\n", (double)total / took);
    store_close(store);
    return failed ? 1 : 0;
}
