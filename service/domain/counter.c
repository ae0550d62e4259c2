// The names of counters.
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
