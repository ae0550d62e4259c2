-- Orders, the redemption of coupon codes, and the terms of campaigns. What can be taken once stands in
-- counters: code/CODE has the uses of a code that are left, order/ORDER the units that are sold and not
-- given back.

-- up

-- state: placed, partially_refunded, refunded or cancelled. Sums are in cents; prices are those of the
-- moment of the order. redemption: its version of code/CODE, 0 without a code. points_returned: of those that were spent; points_taken: of those that were
-- earned.
CREATE TABLE orders (
    order_id        VARCHAR(64) /*! CHARACTER SET binary */ NOT NULL,
    user_id         VARCHAR(128) /*! CHARACTER SET binary */ NOT NULL,
    state           VARCHAR(24) /*! CHARACTER SET binary */ NOT NULL,
    reservation     VARCHAR(32) /*! CHARACTER SET binary */ NULL,
    code            VARCHAR(24) /*! CHARACTER SET binary */ NULL,
    redemption      BIGINT NOT NULL,
    subtotal_cents  BIGINT NOT NULL,
    discount_cents  BIGINT NOT NULL,
    refunded_cents  BIGINT NOT NULL,
    points_spent    BIGINT NOT NULL,
    points_earned   BIGINT NOT NULL,
    points_returned BIGINT NOT NULL,
    points_taken    BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    PRIMARY KEY (order_id)
) /*! ENGINE=InnoDB */
--sqlite: WITHOUT ROWID
;

CREATE TABLE order_item (
    order_id    VARCHAR(64) /*! CHARACTER SET binary */ NOT NULL,
    line        BIGINT NOT NULL,
    sku         VARCHAR(64) /*! CHARACTER SET binary */ NOT NULL,
    quantity    BIGINT NOT NULL,
    refunded    BIGINT NOT NULL,
    price_cents BIGINT NOT NULL,
    PRIMARY KEY (order_id, line)
) /*! ENGINE=InnoDB */
--sqlite: WITHOUT ROWID
;

-- A cancellation or a refund. version: of order/ID after it. points_short: earned points that it could not
-- take back, because the user has spent them.
CREATE TABLE refund (
    order_id        VARCHAR(64) /*! CHARACTER SET binary */ NOT NULL,
    version         BIGINT NOT NULL,
    refunded_cents  BIGINT NOT NULL,
    points_returned BIGINT NOT NULL,
    points_taken    BIGINT NOT NULL,
    points_short    BIGINT NOT NULL,
    reason          VARCHAR(200) /*! CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */ NULL,
    created_at      BIGINT NOT NULL,
    PRIMARY KEY (order_id, version)
) /*! ENGINE=InnoDB */
--sqlite: WITHOUT ROWID
;

-- version: of code/CODE when it was redeemed. state: redeemed or rolled-back. order_id: the order that it is a part of, or only the client's word.
CREATE TABLE redemption (
    code       VARCHAR(24) /*! CHARACTER SET binary */ NOT NULL,
    version    BIGINT NOT NULL,
    user_id    VARCHAR(128) /*! CHARACTER SET binary */ NOT NULL,
    order_id   VARCHAR(128) /*! CHARACTER SET binary */ NULL,
    in_order   BIGINT NOT NULL,
    state      VARCHAR(12) /*! CHARACTER SET binary */ NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (code, version)
) /*! ENGINE=InnoDB */
--sqlite: WITHOUT ROWID
;

-- 0 is no discount, no minimum, and no beginning or end.
ALTER TABLE campaign ADD COLUMN discount_percent BIGINT NOT NULL DEFAULT 0;
ALTER TABLE campaign ADD COLUMN discount_cents BIGINT NOT NULL DEFAULT 0;
ALTER TABLE campaign ADD COLUMN min_cents BIGINT NOT NULL DEFAULT 0;
ALTER TABLE campaign ADD COLUMN valid_from_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE campaign ADD COLUMN valid_until_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE campaign ADD COLUMN uses_per_code BIGINT NOT NULL DEFAULT 1;

-- down

ALTER TABLE campaign DROP COLUMN uses_per_code;
ALTER TABLE campaign DROP COLUMN valid_until_ms;
ALTER TABLE campaign DROP COLUMN valid_from_ms;
ALTER TABLE campaign DROP COLUMN min_cents;
ALTER TABLE campaign DROP COLUMN discount_cents;
ALTER TABLE campaign DROP COLUMN discount_percent;
DROP TABLE redemption;
DROP TABLE refund;
DROP TABLE order_item;
DROP TABLE orders;
