// The checks that are queries. Each row of a query is a finding: up to three names that say where,
// then the expected and the found number.
//
// Limits apply from limit_version on: a user with more coupons than the limit is a finding only if
// the newest of them was issued after the limit came into force. So a limit that was lowered later
// makes no finding, but a breach of an older limit is no longer detected either.
//
// What breaks it: a check that groups a whole table returns nothing until it is done, so the
// connection's read timeout must be long.
#include "store/reconcile/checks.h"

#include "base/text.h"
#include "store/db/db.h"
#include "store/reconcile/report.h"

#include <inttypes.h>
#include <string.h>

// The names of the counters that stand for a row of another table.
#define NOUNS                                                                                      \
    "SELECT TEXT('stock/' ~ sku) AS name FROM product"                                             \
    " UNION ALL SELECT TEXT('coupon/' ~ campaign) FROM campaign"                                   \
    " UNION ALL SELECT TEXT('lottery/' ~ lottery) FROM lottery"                                    \
    " UNION ALL SELECT TEXT('prize/' ~ lottery ~ '/' ~ prize) FROM prize"                          \
    " UNION ALL SELECT TEXT('order/' ~ order_id) FROM orders"

// A hold is the counter hold/SKU/RESERVATION/LINE, with 20 characters of RESERVATION and one or two
// of LINE. The parts are counted from the end, so that joins use the keys of the other tables.
#define HOLD_NAME "TEXT('hold/' ~ SUBSTR(h.counter, 7) ~ '/' ~ h.reservation ~ '/' ~ h.line)"
#define TAIL_OF(name) "(CASE WHEN SUBSTR(" name ", -2, 1) = '/' THEN 22 ELSE 23 END)"
#define RESERVATION_OF(name) "SUBSTR(" name ", -" TAIL_OF(name) ", 20)"
#define LINE_OF(name) "(0 + SUBSTR(" name ", 21 - " TAIL_OF(name) "))"
#define STOCK_OF(name)                                                                             \
    "TEXT('stock/' ~ SUBSTR(" name ", 6, LENGTH(" name ") - 6 - " TAIL_OF(name) "))"

// The ledger rows that emptied holds, with their reservations. '0' is the character after '/'.
#define RESOLVED                                                                                   \
    "FROM ledger l LEFT JOIN reservation r ON r.reservation = " RESERVATION_OF(                    \
        "l.counter") " WHERE l.counter > 'hold/' AND l.counter < 'hold0' AND l.delta < 0"          \
                     " AND l.reason <> 'compensate'"

static const struct check checks[] = {
    // ---- counters -------------------------------------------------------------------------------
    {"counter-without-ledger",
     "rows in the ledger, at least",
     {""},
     "SELECT k.name, NULL, NULL, 1, 0 FROM counter k"
     " WHERE NOT EXISTS (SELECT 1 FROM ledger l WHERE l.counter = k.name)"},
    {"counter-negative",
     "remaining, at least",
     {""},
     "SELECT name, NULL, NULL, 0, remaining FROM counter WHERE remaining < 0"},
    {"noun-without-counter",
     "rows in counter",
     {""},
     "SELECT d.name, NULL, NULL, 1, 0 FROM (" NOUNS ") d"
     " LEFT JOIN counter k ON k.name = d.name WHERE k.name IS NULL"},
    // An account of points and a buyer are their counters alone. Resolved holds and used codes keep
    // theirs.
    {"counter-without-noun",
     "products, campaigns, lotteries or prizes with this name",
     {""},
     "SELECT k.name, NULL, NULL, 1, 0 FROM counter k LEFT JOIN (" NOUNS ") d ON d.name = k.name"
     " WHERE d.name IS NULL AND NOT (k.name > 'points/' AND k.name < 'points0')"
     " AND NOT (k.name > 'hold/' AND k.name < 'hold0')"
     " AND NOT (k.name > 'buyer/' AND k.name < 'buyer0')"
     " AND NOT (k.name > 'code/' AND k.name < 'code0')"},

    // ---- requests -------------------------------------------------------------------------------
    {"request-duplicate",
     "ledger rows of this request",
     {"request", "leg"},
     "SELECT request_key, leg, NULL, 1, COUNT(*) FROM ledger WHERE request_key IS NOT NULL"
     " GROUP BY request_key, leg HAVING COUNT(*) > 1"},

    {"legs-missing",
     "ledger rows of this request",
     {"request", "reason"},
     "SELECT request_key, MIN(reason), NULL, CASE WHEN MIN(reason) = 'transfer' THEN 2"
     " ELSE MAX(leg) + 1 END, COUNT(*) FROM ledger WHERE request_key IS NOT NULL"
     " GROUP BY request_key HAVING COUNT(*) < MAX(leg) + 1"
     " OR (MIN(reason) = 'transfer' AND COUNT(*) < 2)"},

    // ---- coupons --------------------------------------------------------------------------------
    {"coupon-count",
     "coupons issued, against total - remaining",
     {"campaign"},
     "SELECT d.campaign, NULL, NULL, d.expected, d.found, d.name, d.version, d.remaining,"
     " d.expected - d.found, d.expected - d.found FROM ("
     "SELECT c.campaign, k.name, k.version, k.remaining, c.total - k.remaining AS expected,"
     " (SELECT COUNT(*) FROM coupon x WHERE x.campaign = c.campaign) AS found"
     " FROM campaign c JOIN counter k ON k.name = TEXT('coupon/' ~ c.campaign)) d"
     " WHERE d.expected <> d.found"},
    {"coupon-limit",
     "coupons of this user, at most",
     {"campaign", "user"},
     "SELECT x.campaign, x.user_id, NULL, MIN(c.per_user_limit), COUNT(*)"
     " FROM coupon x LEFT JOIN campaign c ON c.campaign = x.campaign"
     " GROUP BY x.campaign, x.user_id"
     " HAVING COUNT(*) > MIN(c.per_user_limit) AND MAX(x.version) > MIN(c.limit_version)"},
    {"coupon-slot-duplicate",
     "coupons in this slot",
     {"campaign", "user", "slot"},
     "SELECT campaign, user_id, slot, 1, COUNT(*) FROM coupon"
     " GROUP BY campaign, user_id, slot HAVING COUNT(*) > 1"},
    {"coupon-code-duplicate",
     "coupons with this code",
     {"code"},
     "SELECT code, NULL, NULL, 1, COUNT(*) FROM coupon GROUP BY code HAVING COUNT(*) > 1"},
    {"coupon-without-ledger",
     "ledger rows that issued this coupon",
     {"campaign", "user", "version"},
     "SELECT c.campaign, c.user_id, c.version, 1, 0 FROM coupon c LEFT JOIN ledger l"
     " ON l.counter = TEXT('coupon/' ~ c.campaign) AND l.version = c.version"
     " AND l.user_id = c.user_id AND l.reason = 'issue' WHERE l.counter IS NULL"},
    // '0' is the character after '/', so the index range holds the coupon counters alone.
    {"ledger-without-coupon",
     "coupons that this ledger row issued",
     {"", "user", "version"},
     "SELECT l.counter, l.user_id, l.version, 1, 0 FROM ledger l LEFT JOIN coupon c"
     " ON c.campaign = SUBSTR(l.counter, 8) AND c.user_id = l.user_id AND c.version = l.version"
     " WHERE l.counter > 'coupon/' AND l.counter < 'coupon0' AND l.reason = 'issue'"
     " AND c.campaign IS NULL"},

    // ---- points ---------------------------------------------------------------------------------
    // '0' is the character after '/', so the index range holds the accounts alone.
    {"transfer-sum",
     "the sum of a transfer's changes",
     {"request"},
     "SELECT request_key, NULL, NULL, 0, SUM(delta) FROM ledger"
     " WHERE counter > 'points/' AND counter < 'points0' AND reason = 'transfer'"
     " GROUP BY request_key HAVING SUM(delta) <> 0"},
    {"earned-twice",
     "earnings of this account for this order",
     {"", "order"},
     "SELECT counter, order_id, NULL, 1, COUNT(*) FROM ledger"
     " WHERE counter > 'points/' AND counter < 'points0' AND reason = 'earn'"
     " AND order_id IS NOT NULL GROUP BY counter, order_id HAVING COUNT(*) > 1"},
    {"earned-without-ledger",
     "ledger rows of this earning",
     {"user", "order", "version"},
     "SELECT e.user_id, e.order_id, e.version, 1, 0 FROM earned e LEFT JOIN ledger l"
     " ON l.counter = TEXT('points/' ~ e.user_id) AND l.version = e.version"
     " AND l.order_id = e.order_id AND l.reason = 'earn' WHERE l.counter IS NULL"},
    {"ledger-without-earned",
     "records that this order earned its points",
     {"", "order", "version"},
     "SELECT l.counter, l.order_id, l.version, 1, 0 FROM ledger l LEFT JOIN earned e"
     " ON e.user_id = SUBSTR(l.counter, 8) AND e.order_id = l.order_id"
     " WHERE l.counter > 'points/' AND l.counter < 'points0' AND l.reason = 'earn'"
     " AND l.order_id IS NOT NULL AND e.user_id IS NULL"},

    // ---- reservations ---------------------------------------------------------------------------
    {"hold-sum",
     "the hold's counter, against its quantity",
     {"", "reservation", "line"},
     "SELECT h.counter, h.reservation, h.line, h.quantity, COALESCE(k.remaining, 0) FROM hold h"
     " LEFT JOIN counter k ON k.name = " HOLD_NAME
     " WHERE k.name IS NULL OR k.remaining <> h.quantity"},
    // Its goods would never come back by themselves. The stock is found by the hold's name.
    {"hold-without-record",
     "open holds with this name that end with their reservation",
     {""},
     // clang-format off
     "SELECT k.name, NULL, NULL, 1, 0, CASE WHEN s.name IS NOT NULL THEN k.name END, k.version,"
     " k.remaining, -k.remaining, -k.remaining, s.name, s.version, s.remaining, k.remaining,"
     " k.remaining FROM counter k"
     " LEFT JOIN reservation r ON r.reservation = " RESERVATION_OF("k.name")
     " LEFT JOIN hold h ON h.counter = " STOCK_OF("k.name") " AND h.expires_at = r.expires_at"
     " AND h.reservation = r.reservation AND h.line = " LINE_OF("k.name")
     " LEFT JOIN counter s ON s.name = " STOCK_OF("k.name")
     " WHERE k.name > 'hold/' AND k.name < 'hold0' AND k.remaining > 0 AND h.counter IS NULL"},
    // clang-format on
    {"hold-of-resolved",
     "open holds of a reservation that is not held",
     {"reservation"},
     "SELECT h.reservation, NULL, NULL, 0, COUNT(*) FROM hold h LEFT JOIN reservation r"
     " ON r.reservation = h.reservation WHERE r.state IS NULL OR r.state NOT IN ('held', 'expired')"
     " GROUP BY h.reservation"},
    {"resolved-twice",
     "rows that emptied this hold",
     {""},
     "SELECT counter, NULL, NULL, 1, COUNT(*) FROM ledger"
     " WHERE counter > 'hold/' AND counter < 'hold0' AND delta < 0"
     " GROUP BY counter HAVING COUNT(*) > 1"},
    {"resolved-unlike",
     "reservations whose state agrees with this row",
     {"", "reason"},
     "SELECT l.counter, l.reason, NULL, 1, 0 " RESOLVED
     " AND (r.state IS NULL OR r.state = 'held' OR (l.reason = 'expire') <> (r.state = 'expired')"
     " OR (l.reason = 'release') <> (r.state = 'released'))"},
    // No reservation is extended after the first of its holds has expired or been emptied. So its
    // last expires_at is what was in force then.
    {"expired-early",
     "the time at which this hold was given back, at least its expiry",
     {""},
     "SELECT l.counter, NULL, NULL, r.expires_at, l.created_at " RESOLVED
     " AND l.reason = 'expire' AND l.created_at < r.expires_at"},
    {"confirmed-late",
     "the time at which this hold was emptied, less than its expiry",
     {"", "reason"},
     "SELECT l.counter, l.reason, NULL, r.expires_at, l.created_at " RESOLVED
     " AND l.reason <> 'expire' AND l.created_at >= r.expires_at"},
    {"expired-unswept",
     "holds on this counter that should have been swept",
     {""},
     "SELECT counter, NULL, NULL, 0, COUNT(*) FROM hold WHERE expires_at < NOW_MS - ALLOWANCE_MS"
     " GROUP BY counter"},
    // Only what a confirmation sells leaves stock and holds together.
    {"movement-sum",
     "the sum of this request's changes",
     {"request", "reason"},
     "SELECT request_key, MIN(reason), NULL, 0, SUM(delta) FROM ledger"
     " WHERE reason IN ('reserve', 'confirm', 'release', 'extend', 'expire')"
     " AND request_key IS NOT NULL GROUP BY request_key"
     " HAVING SUM(delta) > 0 OR (SUM(delta) < 0 AND MIN(reason) <> 'confirm')"},

    // ---- lotteries ------------------------------------------------------------------------------
    {"lottery-sum",
     "remaining, against the sum of its prizes",
     {"lottery"},
     "SELECT l.lottery, NULL, NULL, COALESCE(SUM(p.remaining), 0), MIN(k.remaining), MIN(k.name),"
     " MIN(k.version), MIN(k.remaining), COALESCE(SUM(p.remaining), 0) - MIN(k.remaining),"
     " COALESCE(SUM(p.remaining), 0) - MIN(k.remaining)"
     " FROM lottery l JOIN counter k ON k.name = TEXT('lottery/' ~ l.lottery)"
     " LEFT JOIN prize z ON z.lottery = l.lottery"
     " LEFT JOIN counter p ON p.name = TEXT('prize/' ~ z.lottery ~ '/' ~ z.prize)"
     " GROUP BY l.lottery HAVING COALESCE(SUM(p.remaining), 0) <> MIN(k.remaining)"},
    {"prize-count",
     "draws that won it, against quantity - remaining",
     {"lottery", "prize"},
     "SELECT p.lottery, p.prize, NULL, p.quantity - k.remaining, COALESCE(d.won, 0)"
     " FROM prize p JOIN counter k ON k.name = TEXT('prize/' ~ p.lottery ~ '/' ~ p.prize)"
     " LEFT JOIN (SELECT lottery, prize, COUNT(*) AS won FROM draw WHERE prize IS NOT NULL"
     " GROUP BY lottery, prize) d ON d.lottery = p.lottery AND d.prize = p.prize"
     " WHERE p.quantity - k.remaining <> COALESCE(d.won, 0)"},
    {"draw-limit",
     "draws of this user, at most",
     {"lottery", "user"},
     "SELECT x.lottery, x.user_id, NULL, MIN(l.draws_per_user), COUNT(*)"
     " FROM draw x LEFT JOIN lottery l ON l.lottery = x.lottery GROUP BY x.lottery, x.user_id"
     " HAVING COUNT(*) > MIN(l.draws_per_user) AND MAX(x.version) > MIN(l.limit_version)"},
    {"draw-slot-duplicate",
     "draws in this slot",
     {"lottery", "user", "slot"},
     "SELECT lottery, user_id, slot, 1, COUNT(*) FROM draw"
     " GROUP BY lottery, user_id, slot HAVING COUNT(*) > 1"},
    {"draw-without-ledger",
     "ledger rows of this draw",
     {"lottery", "user", "version"},
     "SELECT d.lottery, d.user_id, d.version, 1, 0 FROM draw d LEFT JOIN ledger l"
     " ON l.counter = TEXT('lottery/' ~ d.lottery) AND l.version = d.version"
     " AND l.user_id = d.user_id AND l.reason = 'draw' WHERE l.counter IS NULL"},
    {"draw-without-prize-leg",
     "ledger rows that took the prize",
     {"lottery", "user", "version"},
     "SELECT d.lottery, d.user_id, d.version, 1, 0 FROM draw d JOIN ledger l"
     " ON l.counter = TEXT('lottery/' ~ d.lottery) AND l.version = d.version"
     " AND l.user_id = d.user_id AND l.reason = 'draw'"
     " LEFT JOIN ledger w ON w.request_key = l.request_key AND w.leg = 1"
     " AND w.counter = TEXT('prize/' ~ d.lottery ~ '/' ~ d.prize)"
     " WHERE d.prize IS NOT NULL AND w.counter IS NULL"},
    {"ledger-without-draw",
     "draws that this ledger row made",
     {"", "user", "version"},
     "SELECT l.counter, l.user_id, l.version, 1, 0 FROM ledger l LEFT JOIN draw d"
     " ON d.lottery = SUBSTR(l.counter, 9) AND d.user_id = l.user_id AND d.version = l.version"
     " WHERE l.counter > 'lottery/' AND l.counter < 'lottery0' AND l.reason = 'draw'"
     " AND d.lottery IS NULL"},
};

// Spells for the engine: TEXT(a ~ b), which concatenates a and b (`||` is OR on MySQL, and SQLite
// has CONCAT only since 3.44); NOW_MS, the time; ALLOWANCE_MS, how long an open hold may be
// overdue.
static void spell(const char *sql, const struct db *db, int64_t allowance_ms, struct buffer *out)
{
    bool sqlite = db_is_sqlite(db);
    for (const char *at = sql; *at != '\0'; at++) {
        if (strncmp(at, "TEXT(", 5) == 0) {
            buffer_append_text(out, sqlite ? "(" : "CONCAT(");
            at += 4;
        } else if (strncmp(at, "NOW_MS", 6) == 0) {
            buffer_append_text(out, db_now_ms_sql(db));
            at += 5;
        } else if (strncmp(at, "ALLOWANCE_MS", 12) == 0) {
            buffer_format(out, "%" PRId64, allowance_ms);
            at += 11;
        } else if (*at == '~') {
            buffer_append_text(out, sqlite ? "||" : ",");
        } else {
            buffer_append(out, at, 1);
        }
    }
}

struct checking {
    const struct check *check;
    struct report *report;
};

static struct compensation read_changes(const struct db_row *row)
{
    struct compensation compensation = {0};
    while (compensation.n_changes < COMPENSATION_CHANGES_MAX) {
        size_t column = 5 + 5 * compensation.n_changes;
        struct compensating_change *change = &compensation.changes[compensation.n_changes];
        if (db_row_is_null(row, column) ||
            !text_copy(change->counter, sizeof change->counter, db_row_text(row, column)))
            break;
        compensation.n_changes++;
        change->version = db_row_int(row, column + 1);
        change->remaining = db_row_int(row, column + 2);
        change->delta = db_row_int(row, column + 3);
        change->ledger_delta = db_row_int(row, column + 4);
    }
    return compensation;
}

static enum rc on_row(void *arg, const struct db_row *row)
{
    const struct checking *checking = arg;
    const struct check *check = checking->check;
    char where[FINDING_WHERE_MAX + 1] = "";
    size_t used = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(check->labels) && check->labels[i] != NULL; i++) {
        const char *gap = i == 0 ? "" : " ", *label = check->labels[i];
        if (!text_format(where + used, sizeof where - used, "%s%s%s%s", gap, label,
                         label[0] != '\0' ? " " : "", db_row_text(row, i)))
            break;
        used += strlen(where + used);
    }
    checking->report->compensation = read_changes(row);
    report_finding(checking->report, check->name, check->sentence, db_row_int(row, 3),
                   db_row_int(row, 4), "%s", where);
    return RC_OK;
}

static enum rc run_checks(const struct check *all, size_t n, struct db *db, struct report *report)
{
    struct buffer sql CLEANUP(buffer_release) = {0};
    for (size_t i = 0; i < n; i++) {
        struct checking checking = {&all[i], report};
        buffer_clear(&sql);
        spell(all[i].sql, db, report->sweep_allowance_ms, &sql);
        if (sql.failed)
            return RC_NO_MEMORY;
        enum rc rc = db_query(db, sql.data, NULL, 0, on_row, &checking);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

enum rc reconcile_queries(struct db *db, struct report *report)
{
    enum rc rc = run_checks(checks, ARRAY_LENGTH(checks), db, report);
    return rc == RC_OK ? run_checks(order_checks, n_order_checks, db, report) : rc;
}
