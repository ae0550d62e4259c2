// Scratch databases. On MySQL each has a random name, so that tests can run in parallel.
#include "scratch.h"

#include "base/random.h"
#include "base/text.h"
#include "store/migrate/migrate.h"

#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const char *scratch_server(const char *variable)
{
    const char *value = getenv(variable);
    if (value != NULL && value[0] != '\0')
        return value;
    const char *require = getenv("HOLDFAST_TEST_REQUIRE");
    if (require != NULL && strcmp(require, "1") == 0)
        ck_abort_msg("%s is not set, and HOLDFAST_TEST_REQUIRE=1", variable);
    return NULL;
}

int scratch_port(void)
{
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof local;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&local, sizeof local), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&local, &size), 0);
    close(fd);
    return ntohs(local.sin_port);
}

bool scratch_available(enum db_engine engine)
{
    return engine == DB_SQLITE || scratch_server("HOLDFAST_TEST_MYSQL") != NULL;
}

static void connect_to(struct scratch *scratch, const char *url)
{
    char error[DB_ERROR_MAX];
    ck_assert_msg(store_open(url, &scratch->store, error) == RC_OK, "%s", error);
    ck_assert_msg(store_claim(scratch->store, DB_CLAIM_UP, error) == RC_OK, "%s", error);
    ck_assert_int_eq(db_new(scratch->store, &scratch->db), RC_OK);
}

static void disconnect(struct scratch *scratch)
{
    db_free(scratch->db);
    store_close(scratch->store);
    scratch->db = NULL;
    scratch->store = NULL;
}

static void administer(struct scratch *scratch, const char *verb)
{
    char sql[128];
    connect_to(scratch, scratch_server("HOLDFAST_TEST_MYSQL"));
    snprintf(sql, sizeof sql, "%s DATABASE %s", verb, scratch->database);
    ck_assert_msg(db_exec(scratch->db, sql, NULL, 0, NULL) == RC_OK, "%s: %s", sql,
                  db_error(scratch->db));
    disconnect(scratch);
}

void scratch_open(struct scratch *scratch, enum db_engine engine)
{
    *scratch = (struct scratch){.engine = engine};
    if (engine == DB_SQLITE) {
        text_copy(scratch->folder, sizeof scratch->folder, "/tmp/holdfast-test-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(scratch->folder));
        snprintf(scratch->url, sizeof scratch->url, "sqlite:%s/test.db", scratch->folder);
    } else {
        const char *server = scratch_server("HOLDFAST_TEST_MYSQL");
        uint64_t number;
        random_bytes(&number, sizeof number);
        snprintf(scratch->database, sizeof scratch->database, "holdfast_scratch_%016lx",
                 (unsigned long)number);
        administer(scratch, "CREATE");
        snprintf(scratch->url, sizeof scratch->url, "%.*s/%s", (int)(strrchr(server, '/') - server),
                 server, scratch->database);
    }
    connect_to(scratch, scratch->url);
    char error[MIGRATE_ERROR_MAX];
    ck_assert_msg(migrate_up(scratch->db, 5000, NULL, error) == RC_OK, "%s", error);
}

void scratch_close(struct scratch *scratch)
{
    disconnect(scratch);
    if (scratch->engine == DB_MYSQL) {
        administer(scratch, "DROP");
        return;
    }
    static const char *const files[] = {"test.db", "test.db-wal", "test.db-shm", "test.db-lock"};
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", scratch->folder, files[i]);
        unlink(path);
    }
    rmdir(scratch->folder);
}

struct store *scratch_second_store(const struct scratch *scratch)
{
    struct store *store;
    char error[DB_ERROR_MAX];
    ck_assert_msg(store_open(scratch->url, &store, error) == RC_OK, "%s", error);
    return store;
}

static enum rc keep_id(void *arg, const struct db_row *row)
{
    int64_t *ids = arg;
    size_t i = 0;
    while (ids[i] != 0)
        i++;
    ids[i] = db_row_int(row, 0);
    return RC_OK;
}

void scratch_cut_connections(const struct scratch *scratch)
{
    struct store *store = scratch_second_store(scratch);
    struct db *db;
    int64_t ids[64] = {0};
    ck_assert_int_eq(db_new(store, &db), RC_OK);
    ck_assert_int_eq(db_query(db,
                              "SELECT id FROM information_schema.processlist"
                              " WHERE db = DATABASE() AND id <> CONNECTION_ID() LIMIT 63",
                              NULL, 0, keep_id, ids),
                     RC_OK);
    ck_assert_int_ne(ids[0], 0);
    for (size_t i = 0; ids[i] != 0; i++) {
        struct db_value id = db_int(ids[i]);
        // Fails if the connection has ended meanwhile, which serves as well.
        (void)!db_exec(db, "KILL ?", &id, 1, NULL);
    }
    db_free(db);
    store_close(store);
}

void scratch_address(const struct scratch *scratch, char *ret_address, size_t size)
{
    const char *from = strrchr(scratch->url, '@') + 1;
    ck_assert(
        text_format(ret_address, size, "%.*s", (int)(strrchr(scratch->url, '/') - from), from));
}

struct store *scratch_store_through(const struct scratch *scratch, const char *address)
{
    char url[sizeof scratch->url + 64], error[DB_ERROR_MAX];
    struct store *store;
    int head = (int)(strrchr(scratch->url, '@') + 1 - scratch->url);
    ck_assert(
        text_format(url, sizeof url, "%.*s%s/%s", head, scratch->url, address, scratch->database));
    ck_assert_msg(store_open(url, &store, error) == RC_OK, "%s", error);
    return store;
}
