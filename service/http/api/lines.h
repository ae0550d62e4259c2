// Lines of products in a body, and the legs of an operation that takes them.
#pragma once

#include "base/cleanup.h"
#include "base/rc.h"
#include "domain/operation.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct buffer;
struct call;

#define LINES_MAX 50

struct line {
    char sku[ID_MAX + 1];
    int64_t quantity;
};

struct lines {
    size_t n;
    struct line lines[LINES_MAX];
};

// Reads [{sku, quantity}, ...]; lines of the same product are added up. RC_INVALID_FIELD or
// RC_UNKNOWN_FIELD with call->problem.
MUST_CHECK enum rc lines_read(struct call *call, const json_t *list, struct lines *ret_lines);

// SIZE_MAX if there is none of this product.
size_t lines_find(const struct lines *lines, const char *sku);

// Splits a reservation's items, "SKU QUANTITY,SKU QUANTITY".
void lines_split(const char *items, struct lines *ret_lines);

// Writes "legs": the results of the operation's legs.
void legs_write(struct buffer *out, struct operation *operation);

// Writes one leg of an operation as an object.
void leg_write(struct buffer *out, const struct leg *leg);
