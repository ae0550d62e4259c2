// A scratch database for one test: a SQLite file in a temporary folder, or a new database on the
// server of HOLDFAST_TEST_MYSQL. It is migrated when opened and deleted when closed.
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

// False if the engine is MySQL and HOLDFAST_TEST_MYSQL is not set (see scratch_server).
bool scratch_available(enum db_engine engine);

// Fails the test if the database cannot be made.
void scratch_open(struct scratch *scratch, enum db_engine engine);
void scratch_close(struct scratch *scratch);

// Another store on the same database, as another instance of the service has it. The caller closes
// it.
struct store *scratch_second_store(const struct scratch *scratch);

// MySQL: a store on the same database through another `host:port`, such as a proxy. The caller
// closes it.
struct store *scratch_store_through(const struct scratch *scratch, const char *address);

// MySQL: the server's `host:port`.
void scratch_address(const struct scratch *scratch, char *ret_address, size_t size);

// MySQL: kills every connection to the database over a separate connection.
void scratch_cut_connections(const struct scratch *scratch);

// A port of loopback that was free when this returned.
int scratch_port(void);

// The value of an environment variable that names a test server, or NULL if it is not set or empty.
// With HOLDFAST_TEST_REQUIRE=1 a missing value fails the test.
const char *scratch_server(const char *variable);
