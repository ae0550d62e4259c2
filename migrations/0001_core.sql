-- The scarce numbers, their ledger, and the nouns that stand on them.
--
-- One text for both engines, see README.md: /*! ... */ is read by MySQL and MariaDB only, lines that
-- begin with --sqlite: or --mysql: by that engine only. Names are compared byte by byte on both.

-- up

CREATE TABLE counter (
    name      VARCHAR(144) /*! CHARACTER SET binary */ NOT NULL,
    remaining BIGINT NOT NULL,
    version   BIGINT NOT NULL,
    fence     BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (name),
    CONSTRAINT counter_not_negative CHECK (remaining >= 0)
) /*! ENGINE=InnoDB */
--sqlite: WITHOUT ROWID
;

-- Append-only, and the idempotency record: request_key is NULL for an administrator's change. Two
-- writers that both think they made the same version collide in the primary key. On SQLite it keeps
-- its rowid: appending there and to two narrow indexes took 5 to 30 percent less time than one wide
-- b-tree in the order of the key.
CREATE TABLE ledger (
    counter     VARCHAR(144) /*! CHARACTER SET binary */ NOT NULL,
    version     BIGINT NOT NULL,
    delta       BIGINT NOT NULL,
    remaining   BIGINT NOT NULL,
    request_key VARCHAR(64) /*! CHARACTER SET binary */ NULL,
    leg         TINYINT NOT NULL,
    fingerprint BIGINT NOT NULL,
    user_id     VARCHAR(64) /*! CHARACTER SET binary */ NULL,
    order_id    VARCHAR(64) /*! CHARACTER SET binary */ NULL,
    reason      VARCHAR(16) /*! CHARACTER SET binary */ NOT NULL,
    strategy    VARCHAR(24) /*! CHARACTER SET binary */ NOT NULL,
    token       BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (counter, version),
    CONSTRAINT ledger_request UNIQUE (request_key, leg)
) /*! ENGINE=InnoDB */;

-- The stock of a product is the counter stock/SKU. A title is at most 200 bytes of UTF-8.
CREATE TABLE product (
    sku         VARCHAR(64) /*! CHARACTER SET binary */ NOT NULL,
    title       VARCHAR(200) /*! CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */ NULL,
    price_cents BIGINT NULL,
    PRIMARY KEY (sku)
) /*! ENGINE=InnoDB */
--sqlite: WITHOUT ROWID
;

-- limit_version: the version of coupon/CAMPAIGN from which on per_user_limit has been in force, so
-- that reconciliation does not blame coupons that an older, higher limit allowed.
CREATE TABLE campaign (
    campaign       VARCHAR(64) /*! CHARACTER SET binary */ NOT NULL,
    total          BIGINT NOT NULL,
    per_user_limit BIGINT NOT NULL,
    limit_version  BIGINT NOT NULL,
    PRIMARY KEY (campaign)
) /*! ENGINE=InnoDB */
--sqlite: WITHOUT ROWID
;

CREATE TABLE coupon (
    campaign   VARCHAR(64) /*! CHARACTER SET binary */ NOT NULL,
    user_id    VARCHAR(64) /*! CHARACTER SET binary */ NOT NULL,
    slot       BIGINT NOT NULL,
    code       VARCHAR(24) /*! CHARACTER SET binary */ NOT NULL,
    version    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (campaign, user_id, slot),
    CONSTRAINT coupon_code UNIQUE (code)
) /*! ENGINE=InnoDB */
--sqlite: WITHOUT ROWID
;

-- limit_version: as in campaign, of lottery/LOTTERY and draws_per_user.
CREATE TABLE lottery (
    lottery        VARCHAR(64) /*! CHARACTER SET binary */ NOT NULL,
    draws_per_user BIGINT NOT NULL,
    blank_weight   BIGINT NOT NULL,
    limit_version  BIGINT NOT NULL,
    PRIMARY KEY (lottery)
) /*! ENGINE=InnoDB */
--sqlite: WITHOUT ROWID
;

-- quantity is how many there ever were; prize/LOTTERY/PRIZE counts what is left.
CREATE TABLE prize (
    lottery  VARCHAR(64) /*! CHARACTER SET binary */ NOT NULL,
    prize    VARCHAR(64) /*! CHARACTER SET binary */ NOT NULL,
    quantity BIGINT NOT NULL,
    weight   BIGINT NOT NULL,
    PRIMARY KEY (lottery, prize)
) /*! ENGINE=InnoDB */
--sqlite: WITHOUT ROWID
;

-- prize is NULL for the blank.
CREATE TABLE draw (
    lottery    VARCHAR(64) /*! CHARACTER SET binary */ NOT NULL,
    user_id    VARCHAR(64) /*! CHARACTER SET binary */ NOT NULL,
    slot       BIGINT NOT NULL,
    prize      VARCHAR(64) /*! CHARACTER SET binary */ NULL,
    version    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (lottery, user_id, slot)
) /*! ENGINE=InnoDB */
--sqlite: WITHOUT ROWID
;

-- A freed lock keeps its row, with owner NULL, so that its token never goes back.
CREATE TABLE lock_row (
    name       VARCHAR(160) /*! CHARACTER SET binary */ NOT NULL,
    owner      VARCHAR(64) /*! CHARACTER SET binary */ NULL,
    expires_at BIGINT NOT NULL,
    token      BIGINT NOT NULL,
    PRIMARY KEY (name)
) /*! ENGINE=InnoDB */
--sqlite: WITHOUT ROWID
;

-- down

DROP TABLE lock_row;
DROP TABLE draw;
DROP TABLE prize;
DROP TABLE lottery;
DROP TABLE coupon;
DROP TABLE campaign;
DROP TABLE product;
DROP TABLE ledger;
DROP TABLE counter;
