// An array that grows by half, and an arena for the texts: about 110 bytes a row.
#include "check/ledger_rows.h"

#include "history/arena.h"

#include <stdlib.h>
#include <string.h>

bool ledger_rows_init(struct ledger_rows *rows, struct ledger *ledger, size_t n_counters)
{
    *rows = (struct ledger_rows){.ledger = ledger};
    *ledger = (struct ledger){.arena = arena_new()};
    ledger->finals = calloc(n_counters > 0 ? n_counters : 1, sizeof *ledger->finals);
    if (ledger->arena == NULL || ledger->finals == NULL) {
        ledger_release(ledger);
        return false;
    }
    for (size_t i = 0; i < n_counters; i++)
        ledger->finals[i] = (struct ledger_final){HISTORY_NONE, LEDGER_UNREAD};
    return true;
}

static bool grow(struct ledger_rows *rows)
{
    if (rows->ledger->n_rows < rows->capacity)
        return true;
    size_t capacity = rows->capacity > 0 ? rows->capacity + rows->capacity / 2 : 1024;
    void *grown = realloc(rows->ledger->rows, capacity * sizeof *rows->ledger->rows);
    if (grown == NULL)
        return false;
    rows->ledger->rows = grown;
    rows->capacity = capacity;
    return true;
}

static const char *keep(struct ledger *ledger, const char *text)
{
    return arena_text(ledger->arena, text, strlen(text));
}

bool ledger_rows_add(struct ledger_rows *rows, const struct ledger_row *row)
{
    if (!grow(rows))
        return false;
    struct ledger *ledger = rows->ledger;
    struct ledger_row *kept = &ledger->rows[ledger->n_rows];
    *kept = *row;
    kept->key = keep(ledger, row->key);
    kept->user = keep(ledger, row->user);
    kept->reason = keep(ledger, row->reason);
    kept->strategy = keep(ledger, row->strategy);
    if (kept->key == NULL || kept->user == NULL || kept->reason == NULL || kept->strategy == NULL)
        return false;
    ledger->n_rows++;
    return true;
}

void ledger_release(struct ledger *ledger)
{
    arena_free(ledger->arena);
    free(ledger->rows);
    free(ledger->finals);
    *ledger = (struct ledger){0};
}
