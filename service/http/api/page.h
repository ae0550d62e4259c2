// Lists that are read in pages, by a cursor: the id of the last item of the page before. A page is
// read at one moment. Items may change between two pages. Even so no item comes twice, and an item
// that exists all the time is never missed.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/ids.h"

#include <stdint.h>

struct buffer;
struct call;
struct db;
struct job;

// The page that a request asks for, and what has been written of it.
struct page {
    const struct call *call; // for the list's own parameters
    char after[ID_MAX + 1];  // items with greater ids, in byte order
    int64_t limit;           // at most so many
    struct buffer *out;
    int64_t count;
    char last[ID_MAX + 1];
};

// Reads a page's items from the database; for each it calls page_add, then writes it to page->out.
typedef enum rc (*page_fn)(struct db *db, struct page *page);

// The `run` of a route whose `prepare` is page_prepare (handlers.h). On a worker.
MUST_CHECK enum rc page_run(struct job *job, struct db *db, page_fn read);

// The item with this id follows.
void page_add(struct page *page, const char *id);
