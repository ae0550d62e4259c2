// holdfast migrate: parses the words after `migrate` and prints the result. store/migrate does the
// work.
#include "commands/commands.h"

#include "base/text.h"
#include "store/db/db.h"
#include "store/migrate/migrate.h"
#include "store/tables/access.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define WAIT_MS 60000
#define CONSTRAINTS_OFF "the constraints are off: for laboratory mode only"

static const char usage[] = "usage: holdfast migrate up | down [STEPS] | status [--json]"
                            " | belts-off | belts-on\n";

static int complain(const char *error)
{
    fprintf(stderr, "holdfast migrate: %s\n", error);
    return EXIT_USAGE;
}

// A database that cannot be used: the error, and what to do.
static int complain_of(const struct db *db, enum rc rc, const char *error)
{
    if (rc != RC_BACKEND_UNAVAILABLE)
        return complain(error);
    fprintf(stderr, "holdfast migrate: store: %s; %s\n", error, access_remedy(db));
    return EXIT_USAGE;
}

static int up(struct db *db)
{
    char error[MIGRATE_ERROR_MAX] = "";
    int applied = 0;
    enum rc rc = migrate_up(db, WAIT_MS, &applied, error);
    if (applied > 0 || rc == RC_OK)
        printf("%d applied\n", applied);
    return rc == RC_OK ? EXIT_CLEAN : complain_of(db, rc, error);
}

static int down(struct db *db, const char *steps_text)
{
    char error[MIGRATE_ERROR_MAX] = "";
    int64_t steps = 1;
    if (steps_text != NULL && (!text_to_int64(steps_text, &steps) || steps < 1 || steps > INT_MAX))
        return complain("down: STEPS must be a whole number, at least 1");
    enum rc rc = migrate_down(db, (int)steps, WAIT_MS, error);
    if (rc != RC_OK)
        return complain_of(db, rc, error);
    printf("undone\n");
    return EXIT_CLEAN;
}

static int lab(struct db *db, bool constraints_off)
{
    char error[MIGRATE_ERROR_MAX] = "";
    if (migrate_lab(db, constraints_off, error) != RC_OK)
        return complain(error);
    puts(constraints_off ? CONSTRAINTS_OFF : "the constraints are on");
    return EXIT_CLEAN;
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
    // A name is a file name or, if unknown, from the database: letters, digits, underscores.
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
    bool constraints_off = false;
    enum rc rc = migrate_constraints_are_off(db, &constraints_off, error);
    if (rc != RC_OK)
        return complain_of(db, rc, error);
    if (json)
        printf("{\"belts\": \"%s\", \"migrations\": [", constraints_off ? "off" : "on");
    rc = migrate_status(db, print_status, &listing, error);
    if (json)
        printf("\n]}\n");
    else if (constraints_off)
        puts(CONSTRAINTS_OFF);
    if (rc != RC_OK)
        return complain_of(db, rc, error);
    return listing.all_applied ? EXIT_CLEAN : EXIT_FAILED;
}

static void free_db(struct db **db)
{
    db_free(*db);
}

int command_migrate(const struct config *config, struct store *store, int argc, char **argv)
{
    (void)config;
    struct db *db CLEANUP(free_db) = NULL;
    const char *word = argc > 0 ? argv[0] : "";
    const char *second = argc > 1 ? argv[1] : NULL;
    bool json = second != NULL && strcmp(second, "--json") == 0;
    bool is_up = strcmp(word, "up") == 0 && argc == 1;
    bool is_down = strcmp(word, "down") == 0 && argc <= 2;
    bool is_status = strcmp(word, "status") == 0 && (argc == 1 || (argc == 2 && json));
    bool is_off = strcmp(word, "belts-off") == 0 && argc == 1;
    bool is_on = strcmp(word, "belts-on") == 0 && argc == 1;
    char error[DB_ERROR_MAX];
    if (!is_up && !is_down && !is_status && !is_off && !is_on) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (!is_status && store_claim(store, is_up ? DB_CLAIM_UP : DB_CLAIM_MIGRATE, error) != RC_OK)
        return complain(error);
    if (db_new(store, &db) != RC_OK)
        return complain("out of memory");
    return is_up       ? up(db)
           : is_down   ? down(db, second)
           : is_status ? status(db, json)
                       : lab(db, is_off);
}
