// Compares a counter's version with those of a condition.
#include "domain/precondition.h"

bool precondition_holds(const struct precondition *condition, int64_t version)
{
    if (condition == NULL || condition->kind == PRECONDITION_NONE)
        return true;
    bool matches = condition->any && version != 0;
    for (size_t i = 0; i < condition->n; i++)
        matches = matches || condition->versions[i] == version;
    return matches == (condition->kind == PRECONDITION_MATCH);
}
