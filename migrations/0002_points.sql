-- Wider names of users and orders, and one earn of points for each order.
--
-- Users and orders have names that other systems gave them: up to 128 bytes. SQLite does not enforce
-- a length, so only MySQL changes columns. There the change is one of metadata, at once and without a
-- lock, however large the ledger is; the algorithm is named so that a server that cannot do it
-- refuses instead of copying the table. The way down copies it, and fails while a longer name is in
-- it. ledger.leg stays a TINYINT: it holds 64 legs, and another type would copy the table.

-- up

--mysql: ALTER TABLE ledger
--mysql:     MODIFY user_id VARCHAR(128) CHARACTER SET binary NULL,
--mysql:     MODIFY order_id VARCHAR(128) CHARACTER SET binary NULL,
--mysql:     ALGORITHM=INPLACE, LOCK=NONE;
--mysql: ALTER TABLE coupon
--mysql:     MODIFY user_id VARCHAR(128) CHARACTER SET binary NOT NULL,
--mysql:     ALGORITHM=INPLACE, LOCK=NONE;
--mysql: ALTER TABLE draw
--mysql:     MODIFY user_id VARCHAR(128) CHARACTER SET binary NOT NULL,
--mysql:     ALGORITHM=INPLACE, LOCK=NONE;

-- A user earns points for an order once. version: of the counter points/USER.
CREATE TABLE earned (
    user_id    VARCHAR(64) /*! CHARACTER SET binary */ NOT NULL,
    order_id   VARCHAR(128) /*! CHARACTER SET binary */ NOT NULL,
    version    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, order_id)
) /*! ENGINE=InnoDB */
--sqlite: WITHOUT ROWID
;

-- '0' is the character after '/', so the index range holds the accounts of points alone.
INSERT INTO earned
    SELECT SUBSTR(counter, 8), order_id, MIN(version), MIN(created_at) FROM ledger
    WHERE counter > 'points/' AND counter < 'points0' AND reason = 'earn' AND order_id IS NOT NULL
    GROUP BY counter, order_id;

-- down

DROP TABLE earned;
--mysql: ALTER TABLE draw MODIFY user_id VARCHAR(64) CHARACTER SET binary NOT NULL;
--mysql: ALTER TABLE coupon MODIFY user_id VARCHAR(64) CHARACTER SET binary NOT NULL;
--mysql: ALTER TABLE ledger
--mysql:     MODIFY user_id VARCHAR(64) CHARACTER SET binary NULL,
--mysql:     MODIFY order_id VARCHAR(64) CHARACTER SET binary NULL;
