// Takes a migration file apart, line by line:
//
//   -- up, -- down     begin a part; what stands before the first belongs to none
//   --sqlite: ...      is the rest of the line on SQLite, and nothing elsewhere
//   --mysql: ...       the same for MySQL and MariaDB
//   -- ...             a comment, dropped, so that a `;` in it cannot end a statement
//
// What differs within a line is written as /*! ... */, which MySQL reads and SQLite does not.
// What breaks it: a string literal that goes over a line's end and begins the next with two dashes.
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
