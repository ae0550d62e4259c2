// Between the two halves of a template: what template.c makes and template_render.c puts together.
#pragma once

#include "run/template.h"

#define PIECES_MAX 512

enum piece_kind {
    PIECE_LITERAL,
    PIECE_LENGTH, // of the body, in digits
    PIECE_RESOURCE,
    PIECE_KEY,
    PIECE_USER,
    PIECE_QUANTITY,
    PIECE_N,
    PIECE_RANDOM,
};

struct piece {
    enum piece_kind kind;
    size_t offset, length; // PIECE_LITERAL: in the literals
    uint64_t bound;        // PIECE_RANDOM
};

struct template
{
    struct buffer literals;
    struct piece pieces[PIECES_MAX];
    size_t n_pieces;
    size_t body; // the first piece of the body; n_pieces: there is none
};
