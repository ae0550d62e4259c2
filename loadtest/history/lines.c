// Splits a file into lines. It reads pieces of 256 KiB; the rest of a piece moves to the front
// before the next piece is read, so every line is contiguous in memory; of a file without line
// feeds, such as a device, not all is read into memory. It uses pread, because the
// writer of a history shares the descriptor. A pipe has no position and is read with read.
#include "history/lines.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PIECE (256u * 1024)
#define LINE_MAX_LENGTH ((size_t)64 * 1024 * 1024) // a head with 100,000 counters has 12 MiB

void lines_init(struct lines *lines, int descriptor)
{
    *lines = (struct lines){.descriptor = descriptor};
}

void lines_release(struct lines *lines)
{
    buffer_release(&lines->buffer);
}

static void read_more(struct lines *lines)
{
    struct buffer *buffer = &lines->buffer;
    if (lines->begin > 0 && buffer->data != NULL) {
        memmove(buffer->data, buffer->data + lines->begin, buffer->length - lines->begin);
        buffer->length -= lines->begin;
        lines->begin = 0;
    }
    char piece[PIECE];
    ssize_t n;
    do {
        n = pread(lines->descriptor, piece, sizeof piece, lines->offset);
        if (n < 0 && errno == ESPIPE)
            n = read(lines->descriptor, piece, sizeof piece);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        buffer_append(buffer, piece, (size_t)n);
        lines->offset += n;
    }
    lines->at_end = n <= 0;
    lines->error = n < 0 ? errno : buffer->failed ? ENOMEM : 0;
}

bool lines_next(struct lines *lines, const char **ret_text, size_t *ret_length, bool *ret_whole)
{
    struct buffer *buffer = &lines->buffer;
    size_t searched = 0;
    for (;;) {
        size_t left = buffer->length - lines->begin;
        const char *text = buffer->data != NULL ? buffer->data + lines->begin : "";
        const char *feed = left > searched ? memchr(text + searched, '\n', left - searched) : NULL;
        if (feed == NULL && !lines->at_end) {
            searched = left;
            if (left > LINE_MAX_LENGTH)
                lines->error = EFBIG;
            else
                read_more(lines);
            if (lines->error != 0)
                return false;
            continue;
        }
        if (feed == NULL && left == 0)
            return false;
        *ret_text = text;
        *ret_length = feed != NULL ? (size_t)(feed - text) : left;
        *ret_whole = feed != NULL;
        lines->begin += *ret_length + (feed != NULL);
        lines->count++;
        return true;
    }
}
