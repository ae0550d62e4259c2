// A counter: the scarce number itself, as its row in the database.
#pragma once

#include "domain/ids.h"

#include <stdbool.h>
#include <stdint.h>

struct counter {
    char name[COUNTER_NAME_MAX + 1];
    int64_t remaining; // never negative
    int64_t version;   // one more with every change; the first is 1, and 0 means not loaded
    int64_t fence;     // the highest fencing token that wrote here
};

// The id behind the first slash: "SKU-1" of "stock/SKU-1".
const char *counter_id(const char *name);

// Does another counter guard it? Such a name has more than one slash: "prize/WHEEL/gold".
bool counter_is_child(const char *name);

// The order of counters by name, for qsort() of struct counter, and for bsearch() of a name among
// them.
int counter_compare(const void *a, const void *b);
int counter_compare_name(const void *name, const void *counter);
