// Sequence numbers are signed 32-bit and wrap round after 2^31 - 1, on a hot key within weeks. The
// nodes that stand in line at one time are close together, so their order is that of the
// difference.
#include "guard/zookeeper/place.h"

#include "base/text.h"
#include "guard/zookeeper/api.h"

#include <string.h>

// Of a name such as "<tag>-0000000042"; false if it is not of that form.
static bool sequence_of(const char *name, uint32_t *ret_sequence)
{
    int64_t number;
    if (strnlen(name, ZOOKEEPER_NODE_MAX) >= ZOOKEEPER_NODE_MAX ||
        strlen(name) <= ZOOKEEPER_TAG_LENGTH + 1 || name[ZOOKEEPER_TAG_LENGTH] != '-' ||
        !text_to_int64(name + ZOOKEEPER_TAG_LENGTH + 1, &number))
        return false;
    *ret_sequence = (uint32_t)number;
    return true;
}

static bool before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

void zookeeper_find_place(const struct String_vector *children, const char *tag, char *ret_own,
                          char *ret_ahead)
{
    uint32_t own = 0, ahead = 0, sequence;
    ret_own[0] = ret_ahead[0] = '\0';
    for (int32_t i = 0; i < children->count; i++)
        if (strncmp(children->data[i], tag, ZOOKEEPER_TAG_LENGTH) == 0 &&
            sequence_of(children->data[i], &own))
            text_copy(ret_own, ZOOKEEPER_NODE_MAX, children->data[i]);
    if (ret_own[0] == '\0')
        return;
    for (int32_t i = 0; i < children->count; i++) {
        const char *name = children->data[i];
        if (!sequence_of(name, &sequence) || !before(sequence, own))
            continue;
        if (ret_ahead[0] == '\0' || before(ahead, sequence)) {
            text_copy(ret_ahead, ZOOKEEPER_NODE_MAX, name);
            ahead = sequence;
        }
    }
}
