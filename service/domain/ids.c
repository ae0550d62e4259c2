// The character rules of identifiers.
#include "domain/ids.h"

#include <string.h>

static bool consists_of(const char *text, size_t length, const char *more)
{
    if (length < 1 || length > ID_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        bool allowed = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                       (c != '\0' && strchr(more, c) != NULL);
        if (!allowed)
            return false;
    }
    return true;
}

bool id_is_valid(const char *text, size_t length)
{
    return consists_of(text, length, "._:-");
}

bool id_is_code(const char *text, size_t length)
{
    return consists_of(text, length, "._:-*~$=");
}

bool counter_name_is_valid(const char *name)
{
    if (strlen(name) > COUNTER_NAME_MAX || strchr(name, '/') == NULL)
        return false;
    for (;;) {
        size_t length = strcspn(name, "/");
        if (!id_is_code(name, length))
            return false;
        if (name[length] == '\0')
            return true;
        name += length + 1;
    }
}

bool id_is_visible(const char *text, size_t length, size_t max)
{
    if (length < 1 || length > max)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < 0x21 || text[i] > 0x7e)
            return false;
    }
    return true;
}
