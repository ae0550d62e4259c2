// The terms of a campaign.
#include "http/api/terms.h"

#include "base/json_write.h"
#include "http/wire/problem.h"
#include "store/tables/campaign.h"

#include <string.h>

void terms_fields(struct terms *terms, struct field ret_fields[TERMS_FIELDS])
{
    *terms = (struct terms){TERM_KEPT, TERM_KEPT, TERM_KEPT, TERM_KEPT, TERM_KEPT, TERM_KEPT};
    const struct field fields[TERMS_FIELDS] = {
        {"discount_percent", FIELD_INT, false, 0, 100, &terms->discount_percent},
        {"discount_cents", FIELD_INT, false, 0, EXACT_MAX, &terms->discount_cents},
        {"min_cents", FIELD_INT, false, 0, EXACT_MAX, &terms->min_cents},
        {"valid_from_ms", FIELD_INT, false, 0, EXACT_MAX, &terms->valid_from_ms},
        {"valid_until_ms", FIELD_INT, false, 0, EXACT_MAX, &terms->valid_until_ms},
        {"uses_per_code", FIELD_INT, false, 1, QUANTITY_MAX, &terms->uses_per_code},
    };
    memcpy(ret_fields, fields, sizeof fields);
}

enum rc terms_complete(struct terms *terms, struct problem *problem)
{
    if (terms->discount_percent > 0 && terms->discount_cents > 0)
        return problem_field(problem, RC_INVALID_FIELD, "discount_cents",
                             "absent or 0 beside discount_percent");
    if (terms->valid_until_ms > 0 && terms->valid_until_ms <= terms->valid_from_ms)
        return problem_field(problem, RC_INVALID_FIELD, "valid_until_ms",
                             "later than valid_from_ms, or 0");
    if (terms->discount_percent > 0)
        terms->discount_cents = 0;
    if (terms->discount_cents > 0)
        terms->discount_percent = 0;
    return RC_OK;
}

void terms_write(struct buffer *out, const struct terms *terms)
{
    json_write_int(out, "discount_percent", terms->discount_percent);
    json_write_int(out, "discount_cents", terms->discount_cents);
    json_write_int(out, "min_cents", terms->min_cents);
    json_write_int(out, "valid_from_ms", terms->valid_from_ms);
    json_write_int(out, "valid_until_ms", terms->valid_until_ms);
    json_write_int(out, "uses_per_code", terms->uses_per_code);
}
