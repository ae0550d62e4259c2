// The tables reservation and hold. The counters of the holds are the engine's.
#include "store/tables/reservation.h"

#include "base/text.h"
#include "store/db/db.h"
#include "store/db/list.h"

#include <stdlib.h>
#include <string.h>

enum reservation_state reservation_state_at(const struct reservation *reservation, int64_t now_ms)
{
    bool expired = reservation->state == RESERVATION_HELD && now_ms >= reservation->expires_at_ms;
    return expired ? RESERVATION_EXPIRED : reservation->state;
}

#define RESERVATION_COLUMNS 7

enum rc reservation_insert(struct db *db, const struct reservation *reservations, size_t n)
{
    struct db_value *values CLEANUP(free_memory) = calloc(n * RESERVATION_COLUMNS, sizeof *values);
    if (values == NULL)
        return RC_NO_MEMORY;
    struct db_value *at = values;
    for (size_t i = 0; i < n; i++) {
        *at++ = db_text(reservations[i].id);
        *at++ = db_text_or_null(reservations[i].user_id);
        *at++ = db_text_or_null(reservations[i].order_id);
        *at++ = db_text(reservation_states[reservations[i].state]);
        *at++ = db_text(reservations[i].items);
        *at++ = db_int(reservations[i].expires_at_ms);
        *at++ = db_int(reservations[i].created_at_ms);
    }
    return db_insert(db,
                     "reservation (reservation, user_id, order_id, state, items, expires_at,"
                     " created_at)",
                     RESERVATION_COLUMNS, values, n);
}

static enum reservation_state find_state(const char *name)
{
    size_t state = 0;
    while (state < RESERVATION_STATE_COUNT && strcmp(reservation_states[state], name) != 0)
        state++;
    return (enum reservation_state)state;
}

struct reader {
    struct reservation reservation; // scratch
    reservation_fn on_reservation;
    void *arg;
};

static enum rc read_reservation(void *arg, const struct db_row *row)
{
    struct reader *reader = arg;
    struct reservation *reservation = &reader->reservation;
    reservation->state = find_state(db_row_text(row, 3));
    reservation->expires_at_ms = db_row_int(row, 5);
    reservation->created_at_ms = db_row_int(row, 6);
    bool whole =
        reservation->state != RESERVATION_STATE_COUNT &&
        text_copy(reservation->id, sizeof reservation->id, db_row_text(row, 0)) &&
        text_copy(reservation->user_id, sizeof reservation->user_id, db_row_text(row, 1)) &&
        text_copy(reservation->order_id, sizeof reservation->order_id, db_row_text(row, 2)) &&
        text_copy(reservation->items, sizeof reservation->items, db_row_text(row, 4));
    return whole ? reader->on_reservation(reader->arg, reservation, db_row_int(row, 7))
                 : RC_INTERNAL;
}

// `rest`: the statement behind FROM reservation.
static enum rc select_reservations(struct db *db, const char *rest, const struct db_value *params,
                                   size_t n_params, reservation_fn on_reservation, void *arg)
{
    struct reader *reader CLEANUP(free_memory) = calloc(1, sizeof *reader);
    struct buffer sql CLEANUP(buffer_release) = {0};
    buffer_format(&sql,
                  "SELECT reservation, user_id, order_id, state, items, expires_at, created_at, %s"
                  " FROM reservation %s",
                  db_now_ms_sql(db), rest);
    if (reader == NULL || sql.failed)
        return RC_NO_MEMORY;
    reader->on_reservation = on_reservation;
    reader->arg = arg;
    return db_query(db, sql.data, params, n_params, read_reservation, reader);
}

struct get {
    struct reservation *reservation;
    int64_t now_ms;
};

static enum rc keep_reservation(void *arg, const struct reservation *reservation, int64_t now_ms)
{
    struct get *get = arg;
    *get->reservation = *reservation;
    get->now_ms = now_ms;
    return RC_OK;
}

enum rc reservation_get(struct db *db, const char *id, struct reservation *ret, int64_t *ret_now_ms)
{
    struct get get = {.reservation = ret};
    struct db_value param = db_text(id);
    enum rc rc =
        select_reservations(db, "WHERE reservation = ?", &param, 1, keep_reservation, &get);
    *ret_now_ms = get.now_ms;
    return rc == RC_OK && get.now_ms == 0 ? RC_NOT_FOUND : rc;
}

enum rc reservation_page(struct db *db, const char *user_id, enum reservation_state state,
                         const char *after, int64_t limit, reservation_fn on_reservation, void *arg)
{
    const char *wanted = state < RESERVATION_STATE_COUNT ? reservation_states[state] : "%";
    struct db_value params[] = {db_text(user_id), db_text(after), db_text(wanted), db_int(limit)};
    struct buffer rest CLEANUP(buffer_release) = {0};
    buffer_format(&rest,
                  "WHERE user_id = ? AND reservation > ? AND CASE WHEN state = 'held' AND"
                  " expires_at <= %s THEN 'expired' ELSE state END LIKE ?"
                  " ORDER BY reservation LIMIT ?",
                  db_now_ms_sql(db));
    return rest.failed ? RC_NO_MEMORY
                       : select_reservations(db, rest.data, params, ARRAY_LENGTH(params),
                                             on_reservation, arg);
}

// ---- lists --------------------------------------------------------------------------------------

// Where the expiry of a reservation goes.
struct place {
    const char *id;
    int64_t *expires_at;
};

struct expiries {
    struct place *places; // sorted by id, which several may have
    size_t n;
};

static int compare_places(const void *a, const void *b)
{
    return strcmp(((const struct place *)a)->id, ((const struct place *)b)->id);
}

static enum rc keep_expiry(void *arg, const struct db_row *row)
{
    const struct expiries *expiries = arg;
    const struct place key = {.id = db_row_text(row, 0)};
    struct place *end = expiries->places + expiries->n;
    struct place *place = bsearch(&key, expiries->places, expiries->n, sizeof key, compare_places);
    if (place == NULL)
        return RC_INTERNAL;
    while (place > expiries->places && compare_places(place - 1, &key) == 0)
        place--;
    enum reservation_state state = find_state(db_row_text(row, 2));
    bool expires = state == RESERVATION_HELD || state == RESERVATION_EXPIRED;
    for (; place < end && compare_places(place, &key) == 0; place++)
        *place->expires_at = expires ? db_row_int(row, 1) : -(int64_t)state;
    return RC_OK;
}

enum rc reservation_expiries(struct db *db, const char *const *ids, size_t n,
                             int64_t *ret_expires_at)
{
    static const struct db_list list = {
        "SELECT reservation, expires_at, state FROM reservation WHERE reservation IN (", "?", ",",
        ")", 1};
    struct place *places CLEANUP(free_memory) = calloc(n + 1, sizeof *places);
    struct db_value *params CLEANUP(free_memory) = calloc(n + 1, sizeof *params);
    if (places == NULL || params == NULL)
        return RC_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        ret_expires_at[i] = 0;
        places[i] = (struct place){ids[i], &ret_expires_at[i]};
        params[i] = db_text(ids[i]);
    }
    qsort(places, n, sizeof *places, compare_places);
    struct expiries expiries = {places, n};
    return db_run_list(db, &list, params, n, keep_expiry, &expiries);
}

enum rc reservation_count_open(struct db *db, const char *user_id, int64_t now_ms,
                               int64_t *ret_open)
{
    struct db_value params[] = {db_text(user_id), db_int(now_ms)};
    return db_query_int(db,
                        "SELECT COUNT(*) FROM reservation WHERE user_id = ? AND state = 'held'"
                        " AND expires_at > ?",
                        params, ARRAY_LENGTH(params), ret_open);
}

enum rc reservation_resolve_all(struct db *db, const char *const *ids, size_t n,
                                enum reservation_state state)
{
    char before[96];
    text_format(before, sizeof before,
                "UPDATE reservation SET state = '%s' WHERE state = 'held' AND reservation IN (",
                reservation_states[state]);
    struct db_list list = {before, "?", ",", ")", 1};
    struct db_value *params CLEANUP(free_memory) = calloc(n + 1, sizeof *params);
    if (params == NULL)
        return RC_NO_MEMORY;
    for (size_t i = 0; i < n; i++)
        params[i] = db_text(ids[i]);
    return db_run_list(db, &list, params, n, NULL, NULL);
}

enum rc reservation_set_expiry(struct db *db, const char *id, int64_t expires_at_ms)
{
    struct db_value params[] = {db_int(expires_at_ms), db_text(id)};
    return db_exec(db, "UPDATE reservation SET expires_at = ? WHERE reservation = ?", params,
                   ARRAY_LENGTH(params), NULL);
}

// ---- holds --------------------------------------------------------------------------------------

enum rc hold_insert(struct db *db, const struct hold *holds, size_t n)
{
    enum { COLUMNS = 5 };
    struct db_value *values CLEANUP(free_memory) = calloc(n * COLUMNS, sizeof *values);
    if (values == NULL)
        return RC_NO_MEMORY;
    struct db_value *at = values;
    for (size_t i = 0; i < n; i++) {
        *at++ = db_text(holds[i].counter);
        *at++ = db_int(holds[i].expires_at_ms);
        *at++ = db_text(holds[i].reservation);
        *at++ = db_int(holds[i].line);
        *at++ = db_int(holds[i].quantity);
    }
    return db_insert(db, "hold (counter, expires_at, reservation, line, quantity)", COLUMNS, values,
                     n);
}

enum rc hold_delete(struct db *db, const struct hold *holds, size_t n)
{
    enum { COLUMNS = 4 };
    static const struct db_list sqlite = {
        "DELETE FROM hold WHERE ",
        "counter = ? AND expires_at = ? AND reservation = ? AND line = ?", "", "", COLUMNS};
    // The range optimizer takes 20 times as long for a list of 256 rows as this join.
    static const struct db_list mysql = {
        "DELETE h FROM (SELECT CAST('' AS BINARY) AS counter, 0 AS expires_at,"
        " CAST('' AS BINARY) AS reservation, 0 AS line",
        " UNION ALL SELECT ?,?,?,?", "",
        ") w STRAIGHT_JOIN hold h ON h.counter = w.counter AND h.expires_at = w.expires_at"
        " AND h.reservation = w.reservation AND h.line = w.line",
        COLUMNS};
    struct db_value *params CLEANUP(free_memory) = calloc(n * COLUMNS, sizeof *params);
    if (params == NULL)
        return RC_NO_MEMORY;
    struct db_value *at = params;
    for (size_t i = 0; i < n; i++) {
        *at++ = db_text(holds[i].counter);
        *at++ = db_int(holds[i].expires_at_ms);
        *at++ = db_text(holds[i].reservation);
        *at++ = db_int(holds[i].line);
    }
    return db_run_list(db, db_is_sqlite(db) ? &sqlite : &mysql, params, n, NULL, NULL);
}

enum rc hold_set_expiry(struct db *db, const struct hold *holds, size_t n, int64_t expires_at_ms)
{
    enum rc rc = RC_OK;
    for (size_t i = 0; i < n && rc == RC_OK; i++) {
        struct db_value params[] = {db_int(expires_at_ms), db_text(holds[i].counter),
                                    db_int(holds[i].expires_at_ms), db_text(holds[i].reservation),
                                    db_int(holds[i].line)};
        rc = db_exec(db,
                     "UPDATE hold SET expires_at = ? WHERE counter = ? AND expires_at = ?"
                     " AND reservation = ? AND line = ?",
                     params, ARRAY_LENGTH(params), NULL);
    }
    return rc;
}

struct due {
    int64_t version, next_ms;
    hold_fn on_hold;
    void *arg;
};

static void read_hold(const struct db_row *row, struct hold *ret_hold)
{
    text_copy(ret_hold->counter, sizeof ret_hold->counter, db_row_text(row, 0));
    text_copy(ret_hold->reservation, sizeof ret_hold->reservation, db_row_text(row, 2));
    ret_hold->expires_at_ms = db_row_int(row, 1);
    ret_hold->line = db_row_int(row, 3);
    ret_hold->quantity = db_row_int(row, 4);
}

static enum rc on_due(void *arg, const struct db_row *row)
{
    struct due *due = arg;
    struct hold hold;
    due->version = db_row_int(row, 5);
    due->next_ms = db_row_int(row, 6);
    if (db_row_is_null(row, 1))
        return RC_OK; // none is due
    read_hold(row, &hold);
    return due->on_hold(due->arg, &hold);
}

enum rc hold_due(struct db *db, const char *counter, int64_t now_ms, size_t max, hold_fn on_hold,
                 void *arg, int64_t *ret_version, int64_t *ret_next_ms)
{
    struct due due = {.on_hold = on_hold, .arg = arg};
    struct db_value params[] = {db_text(counter), db_int(now_ms),       db_text(counter),
                                db_int(now_ms),   db_int((int64_t)max), db_text(counter)};
    enum rc rc = db_query(db,
                          "SELECT c.name, h.expires_at, h.reservation, h.line, h.quantity,"
                          " c.version, (SELECT MIN(expires_at) FROM hold WHERE counter = ?"
                          " AND expires_at > ?) FROM counter c LEFT JOIN (SELECT * FROM hold"
                          " WHERE counter = ? AND expires_at <= ?"
                          " ORDER BY expires_at, reservation, line LIMIT ?) h ON h.counter = c.name"
                          " WHERE c.name = ? ORDER BY h.expires_at, h.reservation, h.line",
                          params, ARRAY_LENGTH(params), on_due, &due);
    *ret_version = due.version;
    *ret_next_ms = due.next_ms;
    return rc;
}

struct anywhere {
    hold_fn on_hold;
    void *arg;
    int64_t now_ms;
};

static enum rc on_anywhere(void *arg, const struct db_row *row)
{
    struct anywhere *anywhere = arg;
    struct hold hold;
    anywhere->now_ms = db_row_int(row, 5);
    read_hold(row, &hold);
    return anywhere->on_hold(anywhere->arg, &hold);
}

enum rc hold_due_anywhere(struct db *db, size_t max, hold_fn on_hold, void *arg,
                          int64_t *ret_now_ms)
{
    struct anywhere anywhere = {on_hold, arg, 0};
    struct buffer sql CLEANUP(buffer_release) = {0};
    struct db_value param = db_int((int64_t)max);
    buffer_format(&sql,
                  "SELECT counter, expires_at, reservation, line, quantity, %s FROM hold"
                  " WHERE expires_at <= %s ORDER BY expires_at LIMIT ?",
                  db_now_ms_sql(db), db_now_ms_sql(db));
    if (sql.failed)
        return RC_NO_MEMORY;
    enum rc rc = db_query(db, sql.data, &param, 1, on_anywhere, &anywhere);
    *ret_now_ms = anywhere.now_ms;
    return rc;
}
