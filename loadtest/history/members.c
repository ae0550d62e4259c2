// Reads flat JSON lines by a table of their members.
//
// The members of a line may come in any order. They are looked for in the order in which the writer
// puts them, so that the first one tried is nearly always the right one.
#include "history/members.h"

#include "base/text.h"
#include "history/history.h"

#include <string.h>

bool members_wrong(const struct member *member, const char *expected, char *ret_error)
{
    text_format(ret_error, HISTORY_ERROR_MAX, "`%s` must be %s", member->name, expected);
    return false;
}

static bool fail(char *ret_error, const char *what)
{
    text_copy(ret_error, HISTORY_ERROR_MAX, what);
    return false;
}

static size_t find(const struct member *table, size_t n, const struct flat_member *found,
                   size_t expected)
{
    for (size_t i = 0; i < n; i++) {
        size_t at = expected + i < n ? expected + i : expected + i - n;
        if (flat_member_is(found, table[at].name))
            return at;
    }
    return n;
}

bool members_find(const struct member *table, size_t n, const char *text, size_t length,
                  struct member_values *ret_values, char *ret_error)
{
    struct flat_json json = flat_json_open(text, length);
    struct flat_member found;
    enum flat_kind kind;
    size_t next = 0;
    memset(ret_values->kinds, 0, sizeof ret_values->kinds);
    while ((kind = flat_json_next(&json, &found)) != FLAT_END) {
        if (kind == FLAT_ERROR)
            return fail(ret_error, "not a JSON object");
        size_t at = find(table, n, &found, next);
        if (at == n) {
            text_format(ret_error, HISTORY_ERROR_MAX, "unknown member `%.*s`",
                        (int)(found.name_length < 40 ? found.name_length : 40), found.name);
            return false;
        }
        if (ret_values->kinds[at] != FLAT_END)
            return members_wrong(&table[at], "present only once", ret_error);
        ret_values->values[at] = found;
        ret_values->kinds[at] = kind;
        next = at + 1;
    }
    for (; json.at != json.end; json.at++) {
        if (*json.at == '\0' || strchr(" \r\n\t", *json.at) == NULL)
            return fail(ret_error, "there is more after the object");
    }
    return true;
}

static const char *kinds_name(int kinds)
{
    return kinds == MEMBER_TEXT          ? "a text"
           : kinds == MEMBER_BOOL        ? "true or false"
           : kinds == MEMBER_ARRAY       ? "a list"
           : kinds == MEMBER_INT_OR_NULL ? "a whole number or null"
                                         : "a whole number";
}

bool members_check(const struct member *table, size_t n, unsigned type,
                   const struct member_values *values, char *ret_error)
{
    for (size_t i = 0; i < n; i++) {
        const struct member *member = &table[i];
        enum flat_kind kind = values->kinds[i];
        if (kind == FLAT_END && (member->required & type) != 0)
            return members_wrong(member, "present", ret_error);
        if (kind == FLAT_END)
            continue;
        if (((member->required | member->optional) & type) == 0)
            return members_wrong(member, "absent from such a line", ret_error);
        if ((member->kinds & 1 << kind) == 0)
            return members_wrong(member, kinds_name(member->kinds), ret_error);
        int64_t size =
            kind == FLAT_TEXT ? (int64_t)values->values[i].text_length : values->values[i].number;
        bool bounded = kind == FLAT_INT || kind == FLAT_TEXT;
        // Escapes make a text longer here than it is, so its copying checks its maximum.
        if (bounded && (size < member->min || (kind == FLAT_INT && size > member->max)))
            return members_wrong(
                member, kind == FLAT_INT ? "within its range" : "a text, not empty", ret_error);
    }
    return true;
}
