// The names of counters, and their order.
#include "domain/counter.h"

#include <string.h>

const char *counter_id(const char *name)
{
    const char *slash = strchr(name, '/');
    return slash != NULL ? slash + 1 : name;
}

bool counter_is_child(const char *name)
{
    return strchr(counter_id(name), '/') != NULL;
}

int counter_compare(const void *a, const void *b)
{
    return strcmp(((const struct counter *)a)->name, ((const struct counter *)b)->name);
}

int counter_compare_name(const void *name, const void *counter)
{
    return strcmp(name, ((const struct counter *)counter)->name);
}
