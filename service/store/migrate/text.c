// Parses a migration file:
//
//   -- up, -- down   begins a part; lines before the first belong to none
//   --sqlite: ...    the rest of the line is SQL for SQLite only
//   --mysql: ...     the rest of the line is SQL for MySQL and MariaDB only
//
// Comments and empty statements are dropped, because the engines treat them differently: after the
// last `;` a comment is nothing to SQLite and an error to MySQL. Quoted text is copied, whatever it
// contains. Statements are not separated here: `;` also stands inside a trigger, and each engine
// has a parser of its own for that. A difference within a line is written as /*! ... */, which
// MySQL executes and SQLite ignores.
//
// The same text with CRLF line ends, or with a byte order mark, is the same migration.
//
// What breaks it: a quote within /*! ... */ that spans its end; SQLite's names in [brackets].
#include "store/migrate/text.h"

#include "base/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#define BYTE_ORDER_MARK "\xef\xbb\xbf"

struct reader {
    const char *at;
    bool sqlite;
    bool in_part, wanted; // within a part; within the one that is asked for
    bool begun;           // something of a statement was read since the last `;`
    struct buffer *out;
};

static bool begins_with(const char *at, const char *word)
{
    return strncmp(at, word, strlen(word)) == 0;
}

static bool is_space(char c)
{
    return isspace((unsigned char)c) != 0;
}

static size_t line_length(const char *at)
{
    return strcspn(at, "\n");
}

// Is the line this mark, with nothing but white space behind it?
static bool is_mark(const char *line, const char *mark)
{
    if (!begins_with(line, mark))
        return false;
    const char *end = line + line_length(line);
    for (line += strlen(mark); line < end && is_space(*line); line++)
        ;
    return line == end;
}

static void emit(struct reader *reader, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        bool is_line_end = reader->at[i] == '\r' && reader->at[i + 1] == '\n';
        if (reader->wanted && !is_line_end)
            buffer_append(reader->out, reader->at + i, 1);
    }
    reader->at += length;
}

static void end_part(struct reader *reader)
{
    if (reader->begun && reader->wanted)
        buffer_append(reader->out, "\n", 1);
    reader->begun = false;
}

static size_t quoted_length(const char *at, bool backslashes)
{
    size_t length = 1;
    while (at[length] != '\0' && at[length] != at[0])
        length += backslashes && at[length] == '\\' && at[length + 1] != '\0' ? 2 : 1;
    return length + (at[length] == at[0]);
}

// The comment at this place, or 0. MySQL takes `--` for a comment only with white space behind it.
static size_t comment_length(const char *at, bool sqlite)
{
    bool dashes = begins_with(at, "--") && (at[2] == '\0' || is_space(at[2]));
    if (dashes || at[0] == '#')
        return line_length(at);
    if (!begins_with(at, "/*"))
        return 0;
    bool executed = at[2] == '!' || (at[2] == 'M' && at[3] == '!');
    if (executed && !sqlite)
        return 0;
    const char *end = strstr(at + 2, "*/");
    return end != NULL ? (size_t)(end + 2 - at) : strlen(at);
}

// Reads what is special at the beginning of a line. False if nothing is.
static bool read_line_start(struct reader *reader, enum migration_part part)
{
    const char *mine = reader->sqlite ? "--sqlite:" : "--mysql:";
    bool up = is_mark(reader->at, "-- up");
    if (up || is_mark(reader->at, "-- down")) {
        end_part(reader);
        reader->in_part = true;
        reader->wanted = up == (part == MIGRATION_UP);
    } else if (reader->in_part && begins_with(reader->at, mine)) {
        reader->at += strlen(mine);
        return true;
    } else if (reader->in_part && !begins_with(reader->at, "--")) {
        return false;
    }
    reader->at += line_length(reader->at);
    reader->at += *reader->at == '\n';
    return true;
}

static void read_token(struct reader *reader)
{
    char c = *reader->at;
    size_t comment = comment_length(reader->at, reader->sqlite);
    if (comment > 0) {
        reader->at += comment;
        if (reader->begun && reader->wanted)
            buffer_append(reader->out, " ", 1);
    } else if (is_space(c)) {
        if (reader->begun)
            emit(reader, 1);
        else
            reader->at++;
    } else if (c == ';') {
        if (reader->begun && reader->wanted)
            buffer_append(reader->out, ";\n", 2);
        reader->begun = false;
        reader->at++;
    } else {
        bool quote = c == '\'' || c == '"' || c == '`';
        reader->begun = true;
        emit(reader, quote ? quoted_length(reader->at, !reader->sqlite && c != '`') : 1);
    }
}

static const char *skip_mark(const char *text)
{
    return text + (begins_with(text, BYTE_ORDER_MARK) ? strlen(BYTE_ORDER_MARK) : 0);
}

void migration_script(const char *text, enum migration_part part, bool sqlite, struct buffer *out)
{
    struct reader reader = {.at = skip_mark(text), .sqlite = sqlite, .out = out};
    bool line_start = true;
    while (*reader.at != '\0') {
        if (line_start && read_line_start(&reader, part)) {
            line_start = reader.at[-1] == '\n';
            continue;
        }
        line_start = *reader.at == '\n';
        read_token(&reader);
    }
    end_part(&reader);
}

void migration_checksum(const char *text, char ret_checksum[MIGRATION_CHECKSUM_SIZE])
{
    uint64_t hash = TEXT_HASH_START;
    for (const char *at = skip_mark(text); *at != '\0';) {
        size_t length = strcspn(at, "\r");
        hash = text_hash(hash, at, length);
        at += length;
        if (*at == '\r' && at[1] != '\n')
            hash = text_hash(hash, at, 1);
        at += *at == '\r';
    }
    text_format(ret_checksum, MIGRATION_CHECKSUM_SIZE, "%016" PRIx64, hash);
}
