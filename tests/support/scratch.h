// A database of one's own for a test: a SQLite file in a temporary folder, or a new database on the
// server of HOLDFAST_TEST_MYSQL. Migrated, and gone afterwards.
#pragma once

#include "store/db/db.h"

#include <stdbool.h>

struct scratch {
    struct store *store;
    struct db *db; // for the test's own thread
    enum db_engine engine;
    char folder[64];   // SQLite
    char database[64]; // MySQL
    char url[512];
};

// False where the engine is MySQL and no server was given; with HOLDFAST_TEST_REQUIRE=1 that fails
// the test instead.
bool scratch_available(enum db_engine engine);

// Fails the test when it cannot be had.
void scratch_open(struct scratch *scratch, enum db_engine engine);
void scratch_close(struct scratch *scratch);

// Another store on the same database, as another instance of the service would have it.
struct store *scratch_second_store(const struct scratch *scratch);

// MySQL: the same database by way of another address, `host:port`: a proxy's.
struct store *scratch_store_through(const struct scratch *scratch, const char *address);

// MySQL: the server's own `host:port`.
void scratch_address(const struct scratch *scratch, char *ret_address, size_t size);

// MySQL: kills every connection to the database, from one of its own.
void scratch_cut_connections(const struct scratch *scratch);

// The value of an environment variable naming a test server, or NULL. With HOLDFAST_TEST_REQUIRE=1
// a missing one fails the test.
const char *scratch_server(const char *variable);
