// The parts of evidence_init that sort.
#pragma once

#include "check/evidence.h"

MUST_CHECK bool order_rows(struct evidence *evidence);     // `rows` and `row_ends`
MUST_CHECK bool order_readings(struct evidence *evidence); // `readings` and `reading_ends`
MUST_CHECK bool order_shares(struct evidence *evidence);   // `users` and `shares`
