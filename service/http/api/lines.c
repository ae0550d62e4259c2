// Two lines of one product are one demand: checked apart, each might find enough.
#include "http/api/lines.h"

#include "base/json_write.h"
#include "http/call.h"
#include "http/wire/body.h"

#include <stdlib.h>
#include <string.h>

size_t lines_find(const struct lines *lines, const char *sku)
{
    for (size_t i = 0; i < lines->n; i++) {
        if (strcmp(lines->lines[i].sku, sku) == 0)
            return i;
    }
    return SIZE_MAX;
}

enum rc lines_read(struct call *call, const json_t *list, struct lines *ret_lines)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct line line;
        const struct field fields[] = {
            {"sku", FIELD_ID, true, 0, 0, line.sku},
            {"quantity", FIELD_INT, true, 1, QUANTITY_MAX, &line.quantity},
        };
        char where[32];
        text_format(where, sizeof where, "lines[%zu]", i);
        const json_t *item = json_array_get(list, i);
        if (!json_is_object(item))
            return problem_field(&call->problem, RC_INVALID_FIELD, where, "an object");
        text_format(where, sizeof where, "lines[%zu].", i);
        enum rc rc = body_read(item, where, fields, ARRAY_LENGTH(fields), &call->problem);
        if (rc != RC_OK)
            return rc;
        size_t at = lines_find(ret_lines, line.sku);
        if (at != SIZE_MAX)
            ret_lines->lines[at].quantity += line.quantity;
        else
            ret_lines->lines[ret_lines->n++] = line;
    }
    return RC_OK;
}

void lines_split(const char *items, struct lines *ret_lines)
{
    ret_lines->n = 0;
    while (*items != '\0' && ret_lines->n < LINES_MAX) {
        struct line *line = &ret_lines->lines[ret_lines->n++];
        size_t length = strcspn(items, " ");
        char *end;
        text_format(line->sku, sizeof line->sku, "%.*s", (int)length, items);
        line->quantity = strtoll(items + length, &end, 10);
        items = end + (*end == ',');
    }
}

void leg_write(struct buffer *out, const struct leg *leg)
{
    json_write_open(out, NULL, '{');
    json_write_text(out, "counter", leg->counter);
    json_write_int(out, "remaining", leg->remaining);
    json_write_int(out, "version", leg->version);
    json_write_close(out, '}');
}

void legs_write(struct buffer *out, struct operation *operation)
{
    json_write_open(out, "legs", '[');
    for (size_t i = 0; i < operation_n_legs(operation); i++)
        leg_write(out, operation_leg(operation, i));
    json_write_close(out, ']');
}
