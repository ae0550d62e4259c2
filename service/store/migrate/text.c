// Parses a migration file, line by line:
//
//   -- up, -- down   begins a part; lines before the first belong to none
//   --sqlite: ...    the rest of the line is SQL for SQLite only
//   --mysql: ...     the rest of the line is SQL for MySQL and MariaDB only
//   -- ...           a comment, dropped, so that a `;` in it cannot end a statement
//
// A difference within a line is written as /*! ... */, which MySQL executes and SQLite ignores.
// What breaks it: a string literal over several lines, one of which begins with two dashes.
#include "store/migrate/text.h"

#include "base/text.h"

#include <inttypes.h>
#include <string.h>

static bool begins_with(const char *line, size_t length, const char *word)
{
    return length >= strlen(word) && strncmp(line, word, strlen(word)) == 0;
}

static bool is(const char *line, size_t length, const char *whole)
{
    return length == strlen(whole) && begins_with(line, length, whole);
}

void migration_script(const char *text, enum migration_part part, bool sqlite, struct buffer *out)
{
    const char *mine = sqlite ? "--sqlite:" : "--mysql:";
    bool inside = false;
    for (const char *line = text, *next; *line != '\0'; line = next) {
        size_t length = strcspn(line, "\n");
        next = line + length + (line[length] == '\n');
        if (is(line, length, "-- up")) {
            inside = part == MIGRATION_UP;
        } else if (is(line, length, "-- down")) {
            inside = part == MIGRATION_DOWN;
        } else if (inside && begins_with(line, length, mine)) {
            buffer_append(out, line + strlen(mine), length - strlen(mine));
            buffer_append(out, "\n", 1);
        } else if (inside && !begins_with(line, length, "--")) {
            buffer_append(out, line, length);
            buffer_append(out, "\n", 1);
        }
    }
}

void migration_checksum(const char *text, char ret_checksum[MIGRATION_CHECKSUM_SIZE])
{
    text_format(ret_checksum, MIGRATION_CHECKSUM_SIZE, "%016" PRIx64,
                text_hash(TEXT_HASH_START, text, strlen(text)));
}
