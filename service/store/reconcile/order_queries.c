// The checks of orders, refunds and redemptions that are queries.
#include "store/reconcile/checks.h"

// '0' is the character after '/', so a range of the index holds the counters of one noun alone.
#define GOODS                                                                                      \
    "((counter > 'stock/' AND counter < 'stock0') OR (counter > 'hold/' AND counter < 'hold0')"    \
    " OR (counter > 'order/' AND counter < 'order0'))"

const struct check order_checks[] = {
    // ---- orders ---------------------------------------------------------------------------------
    {"order-sum",
     "the order's counter, against the units of its lines that are not refunded",
     {"order"},
     "SELECT d.order_id, NULL, NULL, d.units, k.remaining FROM ("
     "SELECT o.order_id, COALESCE(SUM(i.quantity - i.refunded), 0) AS units FROM orders o"
     " LEFT JOIN order_item i ON i.order_id = o.order_id GROUP BY o.order_id) d"
     " JOIN counter k ON k.name = TEXT('order/' ~ d.order_id) WHERE d.units <> k.remaining"},
    {"order-legs",
     "ledger rows of the order: its own, one a line, and those of its code and its points",
     {"order"},
     "SELECT d.order_id, NULL, NULL, d.expected, d.found FROM (SELECT o.order_id,"
     " 1 + (SELECT COUNT(*) FROM order_item i WHERE i.order_id = o.order_id)"
     " + CASE WHEN o.code IS NOT NULL THEN 1 ELSE 0 END"
     " + CASE WHEN o.points_spent > 0 OR o.points_earned > 0 THEN 1 ELSE 0 END AS expected,"
     " (SELECT COUNT(*) FROM ledger w JOIN ledger l ON l.request_key = w.request_key"
     " WHERE w.counter = TEXT('order/' ~ o.order_id) AND w.version = 1 AND l.reason = 'order'"
     " AND NOT (l.counter > 'hold/' AND l.counter < 'hold0')"
     // Units of a reservation that the order does not take go back to the stock with it.
     " AND NOT (l.counter > 'stock/' AND l.counter < 'stock0' AND l.delta > 0"
     " AND NOT EXISTS (SELECT 1 FROM order_item i WHERE i.order_id = o.order_id"
     " AND i.sku = SUBSTR(l.counter, 7)))) AS found"
     " FROM orders o) d WHERE d.expected <> d.found"},
    // The units that leave the stock and the holds are the order's. A refund may leave some of them
    // out of the stock.
    {"order-movement",
     "the sum of this request's changes of goods",
     {"request", "reason"},
     "SELECT request_key, reason, NULL, 0, SUM(delta) FROM ledger"
     " WHERE reason IN ('order', 'cancel', 'refund') AND " GOODS " GROUP BY request_key, reason"
     " HAVING SUM(delta) > 0 OR (SUM(delta) < 0 AND reason <> 'refund')"},
    {"order-points",
     "points that the order or its refund gave, against what it took",
     {"order", "version"},
     "SELECT d.order_id, d.version, NULL, d.points, COALESCE(l.delta, 0) FROM ("
     "SELECT order_id, 1 AS version, points_earned - points_spent AS points FROM orders"
     " UNION ALL SELECT order_id, version, points_returned - points_taken FROM refund) d"
     " LEFT JOIN ledger w ON w.counter = TEXT('order/' ~ d.order_id) AND w.version = d.version"
     " LEFT JOIN ledger l ON l.request_key = w.request_key"
     " AND l.counter > 'points/' AND l.counter < 'points0' WHERE d.points <> COALESCE(l.delta, 0)"},

    // ---- refunds --------------------------------------------------------------------------------
    {"refund-sum",
     "what the order has given back, against its refunds",
     {"order", "of"},
     "SELECT d.order_id, d.what, NULL, d.expected, d.found FROM ("
     "SELECT o.order_id, 'cents' AS what, o.refunded_cents AS found,"
     " (SELECT COALESCE(SUM(r.refunded_cents), 0) FROM refund r WHERE r.order_id = o.order_id)"
     " AS expected FROM orders o"
     " UNION ALL SELECT o.order_id, 'points-returned', o.points_returned,"
     " (SELECT COALESCE(SUM(r.points_returned), 0) FROM refund r WHERE r.order_id = o.order_id)"
     " FROM orders o"
     " UNION ALL SELECT o.order_id, 'points-taken', o.points_taken,"
     " (SELECT COALESCE(SUM(r.points_taken), 0) FROM refund r WHERE r.order_id = o.order_id)"
     " FROM orders o) d WHERE d.expected <> d.found"},
    {"refund-limit",
     "what the order has given back, at most",
     {"order", "of"},
     "SELECT d.order_id, d.what, NULL, d.most, d.found FROM ("
     "SELECT order_id, 'cents' AS what, subtotal_cents - discount_cents AS most,"
     " refunded_cents AS found FROM orders"
     " UNION ALL SELECT order_id, 'points-returned', points_spent, points_returned FROM orders"
     " UNION ALL SELECT order_id, 'points-taken', points_earned, points_taken FROM orders"
     " UNION ALL SELECT order_id, TEXT('line-' ~ line), quantity, refunded FROM order_item) d"
     " WHERE d.found > d.most"},
    {"refund-without-ledger",
     "ledger rows of this refund",
     {"order", "version"},
     "SELECT r.order_id, r.version, NULL, 1, 0 FROM refund r LEFT JOIN ledger l"
     " ON l.counter = TEXT('order/' ~ r.order_id) AND l.version = r.version"
     " AND l.reason IN ('cancel', 'refund') WHERE l.counter IS NULL"},
    {"ledger-without-refund",
     "refunds that this ledger row made",
     {"", "version"},
     "SELECT l.counter, l.version, NULL, 1, 0 FROM ledger l LEFT JOIN refund r"
     " ON r.order_id = SUBSTR(l.counter, 7) AND r.version = l.version"
     " WHERE l.counter > 'order/' AND l.counter < 'order0' AND l.reason IN ('cancel', 'refund')"
     " AND r.order_id IS NULL"},

    // ---- redemptions ----------------------------------------------------------------------------
    // A code opens with the uses that its campaign granted then, and its first change takes one.
    {"redemption-sum",
     "uses that are left, against those that were granted and are not redeemed",
     {""},
     "SELECT l.counter, NULL, NULL, l.remaining + 1 - COALESCE(r.redeemed, 0), k.remaining"
     " FROM ledger l JOIN counter k ON k.name = l.counter"
     " LEFT JOIN (SELECT code, COUNT(*) AS redeemed FROM redemption WHERE state = 'redeemed'"
     " GROUP BY code) r ON r.code = SUBSTR(l.counter, 6)"
     " WHERE l.counter > 'code/' AND l.counter < 'code0' AND l.version = 1"
     " AND l.remaining + 1 - COALESCE(r.redeemed, 0) <> k.remaining"},
    {"redemption-without-ledger",
     "ledger rows that redeemed this code",
     {"code", "user", "version"},
     "SELECT r.code, r.user_id, r.version, 1, 0 FROM redemption r LEFT JOIN ledger l"
     " ON l.counter = TEXT('code/' ~ r.code) AND l.version = r.version AND l.user_id = r.user_id"
     " AND l.reason = CASE WHEN r.in_order = 0 THEN 'redeem' ELSE 'order' END"
     " AND (r.in_order = 0 OR l.order_id = r.order_id) WHERE l.counter IS NULL"},
    {"ledger-without-redemption",
     "redemptions that this ledger row made",
     {"", "user", "version"},
     "SELECT l.counter, l.user_id, l.version, 1, 0 FROM ledger l LEFT JOIN redemption r"
     " ON r.code = SUBSTR(l.counter, 6) AND r.version = l.version AND r.user_id = l.user_id"
     " WHERE l.counter > 'code/' AND l.counter < 'code0' AND l.reason IN ('redeem', 'order')"
     " AND r.code IS NULL"},
};

const size_t n_order_checks = sizeof order_checks / sizeof order_checks[0];
