// holdfast reconcile --apply: reads the whole file first, so that a file with a wrong line changes
// nothing, and then carries out each proposal in a transaction of its own.
#include "commands/commands.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "store/db/db.h"
#include "store/reconcile/compensation.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct proposals {
    struct proposal *proposals;
    size_t n, capacity;
};

static void release(struct proposals *proposals)
{
    free(proposals->proposals);
}

static int complain(const char *path, const char *error)
{
    fprintf(stderr, "holdfast reconcile: %s: %s\n", path, error);
    return EXIT_USAGE;
}

static bool add(struct proposals *proposals, const struct proposal *proposal)
{
    if (proposals->n == proposals->capacity) {
        size_t capacity = 2 * proposals->capacity + 16;
        void *grown = realloc(proposals->proposals, capacity * sizeof *proposals->proposals);
        if (grown == NULL)
            return false;
        proposals->proposals = grown;
        proposals->capacity = capacity;
    }
    proposals->proposals[proposals->n++] = *proposal;
    return true;
}

// Empty lines are fine. `at`: the line that is read.
static bool read_lines(FILE *file, struct proposals *proposals, size_t *at, char *ret_error)
{
    char *line CLEANUP(free_memory) = NULL;
    size_t size = 0;
    ssize_t length;
    while ((length = getline(&line, &size, file)) >= 0) {
        struct proposal proposal;
        ++*at;
        if (line[strspn(line, " \t\r\n")] == '\0')
            continue;
        if (compensation_parse(line, (size_t)length, &proposal, ret_error) != RC_OK)
            return false;
        if (!add(proposals, &proposal)) {
            text_copy(ret_error, COMPENSATION_ERROR_MAX, "out of memory");
            return false;
        }
    }
    if (ferror(file))
        text_copy(ret_error, COMPENSATION_ERROR_MAX, strerror(errno));
    return !ferror(file);
}

static int apply(struct db *db, const struct proposals *proposals)
{
    static const char *const words[] = {
        [COMPENSATION_APPLIED] = "applied",
        [COMPENSATION_REPEATED] = "applied before",
        [COMPENSATION_MOVED] = "REFUSED, its counter has moved",
        [COMPENSATION_KEY_USED] = "REFUSED, its key was used for other changes",
    };
    int code = EXIT_CLEAN;
    for (size_t i = 0; i < proposals->n; i++) {
        const struct proposal *proposal = &proposals->proposals[i];
        enum compensation_result result;
        if (compensation_apply(db, proposal, &result) != RC_OK)
            return complain(proposal->key, db_error(db));
        printf("%s  %s: %s\n", proposal->key, proposal->compensation.changes[0].counter,
               words[result]);
        if (result != COMPENSATION_APPLIED && result != COMPENSATION_REPEATED)
            code = EXIT_FAILED;
    }
    return code;
}

int command_compensate(struct db *db, const char *path)
{
    struct proposals proposals CLEANUP(release) = {0};
    char error[COMPENSATION_ERROR_MAX];
    size_t line = 0;
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return complain(path, strerror(errno));
    bool whole = read_lines(file, &proposals, &line, error);
    (void)fclose(file);
    if (whole)
        return apply(db, &proposals);
    fprintf(stderr, "holdfast reconcile: %s: line %zu: %s\n", path, line, error);
    return EXIT_USAGE;
}
