// The coupons and draws that each user has had, from the ledger.
#pragma once

#include "check/ledger.h"
#include "history/index.h"
#include "history/reader.h"

// One coupon or draw of a user.
struct share {
    int64_t version;
    uint32_t counter, user, row;
};

struct shares {
    struct share *list; // by counter, user and version
    size_t n;
    struct index users;
};

// Borrows the texts of the ledger. False: out of memory; release it nevertheless.
MUST_CHECK bool shares_init(struct shares *shares, const struct history *history,
                            const struct ledger *ledger);
void shares_release(struct shares *shares); // a zeroed one is fine

// How many coupons or draws the user had of this counter at this version.
int64_t shares_count(const struct shares *shares, size_t counter, const char *user,
                     int64_t version);
