// The names of counters.
#include "domain/counter.h"

#include <string.h>

const char *counter_id(const char *name)
{
    const char *slash = strchr(name, '/');
    return slash != NULL ? slash + 1 : name;
}
