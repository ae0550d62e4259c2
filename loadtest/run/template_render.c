// Puts a request together: one walk over the pieces. The body's length is that of its literals and
// of each value, so Content-Length is written before the body and nothing has to be moved.
//
// What breaks it: values that would have to be escaped; they are put in as they are.
#include "run/template_parts.h"

#include "run/seeded.h"

#include <string.h>

static int64_t random_value(const struct piece *piece, size_t index,
                            const struct template_values *values)
{
    uint64_t random = seeded(values->seed, SEEDED_HOLE + index, (uint64_t)values->n);
    return (int64_t)seeded_below(random, piece->bound);
}

static size_t int_length(int64_t number)
{
    uint64_t magnitude = number < 0 ? -(uint64_t)number : (uint64_t)number;
    size_t length = 1 + (number < 0);
    for (; magnitude >= 10; magnitude /= 10)
        length++;
    return length;
}

static size_t body_length(const struct template *template, const struct template_values *values)
{
    size_t length = 0;
    for (size_t i = template->body; i < template->n_pieces; i++) {
        const struct piece *piece = &template->pieces[i];
        switch (piece->kind) {
        case PIECE_LITERAL:
            length += piece->length;
            break;
        case PIECE_RESOURCE:
            length += strlen(values->resource);
            break;
        case PIECE_KEY:
            length += strlen(values->key);
            break;
        case PIECE_USER:
            length += strlen(values->user);
            break;
        case PIECE_QUANTITY:
            length += int_length(values->quantity);
            break;
        case PIECE_N:
            length += int_length(values->n);
            break;
        case PIECE_RANDOM:
            length += int_length(random_value(piece, i, values));
            break;
        case PIECE_LENGTH:
            break; // stands in the head
        }
    }
    return length;
}

void template_render(const struct template *template, const struct template_values *values,
                     struct buffer *out)
{
    for (size_t i = 0; i < template->n_pieces; i++) {
        const struct piece *piece = &template->pieces[i];
        switch (piece->kind) {
        case PIECE_LITERAL:
            buffer_append(out, template->literals.data + piece->offset, piece->length);
            break;
        case PIECE_RESOURCE:
            buffer_append_text(out, values->resource);
            break;
        case PIECE_KEY:
            buffer_append_text(out, values->key);
            break;
        case PIECE_USER:
            buffer_append_text(out, values->user);
            break;
        case PIECE_QUANTITY:
            buffer_append_int(out, values->quantity);
            break;
        case PIECE_N:
            buffer_append_int(out, values->n);
            break;
        case PIECE_RANDOM:
            buffer_append_int(out, random_value(piece, i, values));
            break;
        case PIECE_LENGTH:
            buffer_append_int(out, (int64_t)body_length(template, values));
            break;
        }
    }
}
