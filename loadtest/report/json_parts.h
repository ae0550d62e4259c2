// The pieces of which report/json.c builds the report. Each gives a new reference, or NULL when
// memory ran out.
#pragma once

#include <jansson.h>

struct measure;
struct verdict;

// Take the value's reference. A NULL is passed on to the container, which then is NULL itself, so
// that one check at the end is enough.
void json_put(json_t **object, const char *name, json_t *value);
void json_add(json_t **array, json_t *value);

// Null for NULL. Bytes that are no UTF-8 (a server's own words) become question marks.
json_t *json_text_or_null(const char *text);
// Null for NaN and infinity; a whole number is written as one.
json_t *json_number(double value);
json_t *json_ms(double duration_ns);

// Adds the members that come from what was counted: "operations" to "percentiles".
void json_put_measure(json_t **object, const struct measure *measure, double duration_s);

// The member "check"; null for NULL.
json_t *json_verdict(const struct verdict *verdict);
