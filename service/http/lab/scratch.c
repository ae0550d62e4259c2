#include "http/lab/scratch.h"

#include "base/text.h"
#include "store/db/db.h"
#include "store/migrate/migrate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_NAME "lab.db"
#define MIGRATE_WAIT_MS 10000

_Static_assert(SCRATCH_ERROR_MAX >= DB_ERROR_MAX && SCRATCH_ERROR_MAX >= MIGRATE_ERROR_MAX,
               "the parts write their error into ret_error");

static enum rc make_folder(struct lab_scratch *scratch, char *ret_error)
{
    const char *parent = getenv("TMPDIR");
    if (parent == NULL || parent[0] == '\0')
        parent = "/tmp";
    if (text_format(scratch->folder, sizeof scratch->folder, "%.900s/holdfast-lab-XXXXXX",
                    parent) &&
        mkdtemp(scratch->folder) != NULL)
        return RC_OK;
    scratch->folder[0] = '\0';
    text_format(ret_error, SCRATCH_ERROR_MAX, "cannot make a folder in %.400s: %s; set TMPDIR",
                parent, strerror(errno));
    return RC_IO;
}

static enum rc prepare(struct lab_scratch *scratch, bool belts, char *ret_error)
{
    enum rc rc = RC_OK;
    if (scratch->folder[0] == '\0' && db_is_sqlite(scratch->db)) {
        text_copy(ret_error, SCRATCH_ERROR_MAX,
                  "lab.store: for SQLite leave it empty; a run makes a file of its own");
        return RC_USAGE;
    }
    if (scratch->folder[0] == '\0')
        rc = migrate_empty(scratch->db, ret_error);
    if (rc == RC_OK)
        rc = migrate_up(scratch->db, MIGRATE_WAIT_MS, NULL, ret_error);
    return rc == RC_OK ? migrate_lab(scratch->db, !belts, ret_error) : rc;
}

enum rc lab_scratch_open(struct lab_scratch *scratch, const char *url, bool belts, char *ret_error)
{
    char file[PATH_MAX + sizeof FILE_NAME + 8];
    *scratch = (struct lab_scratch){0};
    if (url[0] == '\0') {
        enum rc rc = make_folder(scratch, ret_error);
        if (rc != RC_OK)
            return rc;
        text_format(file, sizeof file, "sqlite:%s/" FILE_NAME, scratch->folder);
        url = file;
    }
    enum rc rc = store_open(url, &scratch->store, ret_error);
    if (rc == RC_OK)
        rc = store_claim(scratch->store, DB_CLAIM_SERVE, ret_error);
    if (rc != RC_OK)
        return rc;
    rc = db_new(scratch->store, &scratch->db);
    if (rc != RC_OK) {
        text_copy(ret_error, SCRATCH_ERROR_MAX, "out of memory");
        return rc;
    }
    return prepare(scratch, belts, ret_error);
}

void lab_scratch_close(struct lab_scratch *scratch)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-lock", "-journal"};
    db_free(scratch->db);
    if (scratch->store != NULL)
        store_close(scratch->store);
    for (size_t i = 0; scratch->folder[0] != '\0' && i < ARRAY_LENGTH(suffixes); i++) {
        char path[PATH_MAX + 32];
        text_format(path, sizeof path, "%s/" FILE_NAME "%s", scratch->folder, suffixes[i]);
        (void)unlink(path);
    }
    if (scratch->folder[0] != '\0')
        (void)rmdir(scratch->folder);
    *scratch = (struct lab_scratch){0};
}
