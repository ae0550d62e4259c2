// Accounts of points in a fixture, and what must hold of a transfer between two of them.
#pragma once

#include "fixture.h"

// Earns points at the last instance, the only one that no test holds at a gate.
void account_earn(struct fixture *fixture, const char *user, int64_t points);

// The account as the database has it; at version 0 if it does not exist.
struct counter account_read(struct fixture *fixture, const char *user);

// Fails the test unless both legs of the transfer are in the ledger as it was answered. Neither may
// be there if it was not answered RC_OK.
void transfer_assert_whole(struct fixture *fixture, struct operation *transfer);
