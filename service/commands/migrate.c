// holdfast migrate: words in, sentences out; the work is in migrate.c.
#include "commands/commands.h"

#include "base/text.h"
#include "store/db/db.h"
#include "store/migrate/migrate.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { DONE = 0, NOT_ALL_APPLIED = 1, COULD_NOT_RUN = 2 };

#define WAIT_MS 60000

static const char usage[] = "usage: holdfast migrate up | down [STEPS] | status [--json]"
                            " | belts-off | belts-on\n";

static int complain(const char *error)
{
    fprintf(stderr, "holdfast migrate: %s\n", error);
    return COULD_NOT_RUN;
}

static int up(struct db *db)
{
    char error[MIGRATE_ERROR_MAX] = "";
    int applied = 0;
    enum rc rc = migrate_up(db, WAIT_MS, &applied, error);
    if (applied > 0 || rc == RC_OK)
        printf("%d applied\n", applied);
    return rc == RC_OK ? DONE : complain(error);
}

static int down(struct db *db, const char *steps_text)
{
    char error[MIGRATE_ERROR_MAX] = "";
    int64_t steps = 1;
    if (steps_text != NULL && (!text_to_int64(steps_text, &steps) || steps < 1 || steps > INT_MAX))
        return complain("down: expected how many steps, at least 1");
    enum rc rc = migrate_down(db, (int)steps, WAIT_MS, error);
    if (rc != RC_OK)
        return complain(error);
    printf("taken back\n");
    return DONE;
}

static int lab(struct db *db, bool belts_off)
{
    char error[MIGRATE_ERROR_MAX] = "";
    if (migrate_lab(db, belts_off, error) != RC_OK)
        return complain(error);
    printf("the belts are %s\n", belts_off ? "off: for lab mode only" : "on");
    return DONE;
}

struct listing {
    bool json, all_applied;
    int n;
};

static void print_status(void *arg, const struct migration_status *status)
{
    static const char *const states[] = {[MIGRATION_PENDING] = "pending",
                                         [MIGRATION_APPLIED] = "applied",
                                         [MIGRATION_HALF_APPLIED] = "half-applied",
                                         [MIGRATION_EDITED] = "edited",
                                         [MIGRATION_UNKNOWN] = "unknown"};
    struct listing *listing = arg;
    listing->all_applied &= status->state == MIGRATION_APPLIED;
    // Names come from file names or, where unknown, from the database: letters, digits,
    // underscores.
    if (listing->json)
        printf("%s\n    {\"name\": \"%s\", \"state\": \"%s\", \"applied_at_ms\": %" PRId64 "}",
               listing->n == 0 ? "" : ",", status->name, states[status->state],
               status->applied_at_ms);
    else
        printf("%-12s  %s\n", states[status->state], status->name);
    listing->n++;
}

static int status(struct db *db, bool json)
{
    char error[MIGRATE_ERROR_MAX] = "";
    struct listing listing = {.json = json, .all_applied = true};
    bool belts_off = false;
    enum rc rc = migrate_belts_are_off(db, &belts_off, error);
    if (rc != RC_OK)
        return complain(error);
    if (json)
        printf("{\"belts\": \"%s\", \"migrations\": [", belts_off ? "off" : "on");
    rc = migrate_status(db, print_status, &listing, error);
    if (json)
        printf("\n]}\n");
    else if (belts_off)
        printf("the belts are off: for lab mode only\n");
    if (rc != RC_OK)
        return complain(error);
    return listing.all_applied ? DONE : NOT_ALL_APPLIED;
}

static void free_db(struct db **db)
{
    db_free(*db);
}

int command_migrate(struct store *store, int argc, char **argv)
{
    struct db *db CLEANUP(free_db) = NULL;
    const char *word = argc > 0 ? argv[0] : "";
    const char *second = argc > 1 ? argv[1] : NULL;
    bool json = second != NULL && strcmp(second, "--json") == 0;
    if (db_new(store, &db) != RC_OK)
        return complain("out of memory");
    if (strcmp(word, "up") == 0 && argc == 1)
        return up(db);
    if (strcmp(word, "down") == 0 && argc <= 2)
        return down(db, second);
    if (strcmp(word, "status") == 0 && (argc == 1 || (argc == 2 && json)))
        return status(db, json);
    if (strcmp(word, "belts-off") == 0 && argc == 1)
        return lab(db, true);
    if (strcmp(word, "belts-on") == 0 && argc == 1)
        return lab(db, false);
    fputs(usage, stderr);
    return COULD_NOT_RUN;
}
