// Making and freeing a section: its connection, and room for as many operations as it may take.
#include "engine/section_parts.h"

#include "store/db/db.h"

#include <stdlib.h>

enum rc section_new(struct store *store, struct metrics *metrics,
                    const struct engine_settings *settings, struct section **ret_section)
{
    size_t max_batch = settings->max_batch;
    struct section *section = calloc(1, sizeof *section);
    if (section == NULL)
        return RC_NO_MEMORY;
    section->metrics = metrics;
    section->hooks = settings->hooks;
    section->undemanding = settings->undemanding;
    section->unfenced = settings->unfenced;
    section->max_batch = max_batch;
    section->plenty = true;
    section->jobs = calloc(max_batch, sizeof(struct job *));
    section->deferred = calloc(max_batch, sizeof(struct job *));
    section->current = calloc(max_batch, sizeof(struct job *));
    section->returned = calloc(max_batch, sizeof(struct job *));
    enum rc rc = batch_init(&section->batch, max_batch);
    if (section->jobs == NULL || section->deferred == NULL || section->current == NULL ||
        section->returned == NULL)
        rc = RC_NO_MEMORY;
    if (rc == RC_OK)
        rc = db_new(store, &section->db);
    if (rc != RC_OK) {
        section_free(section);
        return rc;
    }
    *ret_section = section;
    return RC_OK;
}

void section_free(struct section *section)
{
    if (section == NULL)
        return;
    db_free(section->db);
    batch_release(&section->batch);
    free(section->jobs);
    free(section->deferred);
    free(section->current);
    free(section->returned);
    free(section);
}

struct db *section_db(struct section *section)
{
    return section->db;
}
