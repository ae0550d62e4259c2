// What the rows of a hold say: when it began, when it expires, and what ended it.
#pragma once

#include "check/evidence.h"

// When the hold expires from this row on, by the answer to its request: reserve or extend. Not
// known if no such answer came.
struct maybe hold_expires_at(const struct evidence *evidence, uint32_t row);

// The row that the operation of this hold's row has in the stock of the same product, or NOTHING.
uint32_t hold_stock_row(const struct evidence *evidence, uint32_t row);

// Whether the row takes what the hold holds: confirm, release, expire.
bool hold_is_resolved_by(const struct evidence *evidence, uint32_t row);
