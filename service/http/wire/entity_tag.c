// Reads lists of entity tags strictly. A guess at what a malformed condition means could let a
// change pass that the client wanted to prevent.
#include "http/wire/entity_tag.h"

#include "base/text.h"
#include "http/wire/problem.h"

#include <inttypes.h>
#include <string.h>

void entity_tag_write(char target[ENTITY_TAG_MAX + 1], int64_t version)
{
    text_format(target, ENTITY_TAG_MAX + 1, "\"v%" PRId64 "\"", version);
}

// Takes the first byte from the text if it is this one.
static bool take(struct slice *text, char c)
{
    if (text->length == 0 || *text->text != c)
        return false;
    text->text++;
    text->length--;
    return true;
}

static void skip_spaces(struct slice *text)
{
    while (take(text, ' ') || take(text, '\t'))
        ;
}

// Takes `[W/]"..."` from the text. ret_tag is the part between the quotes.
static bool take_tag(struct slice *text, bool *ret_weak, struct slice *ret_tag)
{
    *ret_weak = take(text, 'W');
    if ((*ret_weak && !take(text, '/')) || !take(text, '"'))
        return false;
    *ret_tag = *text;
    while (text->length > 0 && *text->text != ' ' && *text->text != '\t' && *text->text != '"')
        take(text, *text->text);
    ret_tag->length -= text->length;
    return take(text, '"');
}

// The version of a tag that entity_tag_write has made; 0 for any other tag.
static int64_t version_of(struct slice tag)
{
    char digits[ENTITY_TAG_MAX], written[ENTITY_TAG_MAX + 1];
    int64_t version;
    if (!take(&tag, 'v') || tag.length >= sizeof digits)
        return 0;
    memcpy(digits, tag.text, tag.length);
    digits[tag.length] = '\0';
    if (!text_to_int64(digits, &version) || version < 1)
        return 0;
    // The same number may have other spellings.
    entity_tag_write(written, version);
    return strncmp(written + 2, digits, tag.length) == 0 ? version : 0;
}

// Returns whether there was a comma. A list may have empty elements (RFC 9110, 5.6.1).
static bool skip_commas(struct slice *text)
{
    bool found = false;
    for (skip_spaces(text); take(text, ','); skip_spaces(text))
        found = true;
    return found;
}

// Returns NULL, or a sentence about the error.
static const char *read_field(struct slice text, bool strong, struct precondition *condition)
{
    static const char malformed[] =
        "If-Match and If-None-Match must be `*` or a list of at most 16 "
        "entity tags, such as \"v58\".";
    skip_spaces(&text);
    if (take(&text, '*')) {
        condition->any = true;
        skip_spaces(&text);
        return text.length == 0 ? NULL : malformed;
    }
    for (size_t n = 0;; n++) {
        bool separated = skip_commas(&text) || n == 0;
        if (text.length == 0 && n > 0)
            return NULL;
        struct slice tag;
        bool weak;
        if (!separated || n == PRECONDITION_VERSIONS_MAX || !take_tag(&text, &weak, &tag))
            return malformed;
        int64_t version = weak && strong ? 0 : version_of(tag);
        if (version != 0)
            condition->versions[condition->n++] = version;
    }
}

enum rc entity_tag_read(struct slice if_match, struct slice if_none_match,
                        struct precondition *ret_condition, struct problem *problem)
{
    struct precondition condition = {.kind = PRECONDITION_NONE};
    const char *why = NULL;
    if (if_match.text != NULL && if_none_match.text != NULL) {
        why = "If-Match and If-None-Match exclude each other.";
    } else if (if_match.text != NULL) {
        condition.kind = PRECONDITION_MATCH;
        why = read_field(if_match, true, &condition);
    } else if (if_none_match.text != NULL) {
        condition.kind = PRECONDITION_NO_MATCH;
        why = read_field(if_none_match, false, &condition);
    }
    if (why != NULL)
        return problem_set(problem, RC_MALFORMED_REQUEST, "%s", why);
    *ret_condition = condition;
    return RC_OK;
}
