-- The belt of refunds off, as 0001 does with the others: one refund of an order at a version.

-- up

--mysql: ALTER TABLE refund DROP PRIMARY KEY,
--mysql:     ADD COLUMN lab_row BIGINT NOT NULL INVISIBLE AUTO_INCREMENT PRIMARY KEY,
--mysql:     ADD INDEX refund_version (order_id, version);

--sqlite: ALTER TABLE refund RENAME TO refund_old;
--sqlite: CREATE TABLE refund (
--sqlite:     order_id        VARCHAR(64) NOT NULL,
--sqlite:     version         BIGINT NOT NULL,
--sqlite:     refunded_cents  BIGINT NOT NULL,
--sqlite:     points_returned BIGINT NOT NULL,
--sqlite:     points_taken    BIGINT NOT NULL,
--sqlite:     points_short    BIGINT NOT NULL,
--sqlite:     reason          VARCHAR(200) NULL,
--sqlite:     created_at      BIGINT NOT NULL
--sqlite: );
--sqlite: INSERT INTO refund SELECT * FROM refund_old;
--sqlite: DROP TABLE refund_old;
--sqlite: CREATE INDEX refund_version ON refund (order_id, version);

-- down

--mysql: ALTER TABLE refund DROP PRIMARY KEY, DROP COLUMN lab_row,
--mysql:     DROP INDEX refund_version, ADD PRIMARY KEY (order_id, version);

--sqlite: ALTER TABLE refund RENAME TO refund_old;
--sqlite: CREATE TABLE refund (
--sqlite:     order_id        VARCHAR(64) NOT NULL,
--sqlite:     version         BIGINT NOT NULL,
--sqlite:     refunded_cents  BIGINT NOT NULL,
--sqlite:     points_returned BIGINT NOT NULL,
--sqlite:     points_taken    BIGINT NOT NULL,
--sqlite:     points_short    BIGINT NOT NULL,
--sqlite:     reason          VARCHAR(200) NULL,
--sqlite:     created_at      BIGINT NOT NULL,
--sqlite:     PRIMARY KEY (order_id, version)
--sqlite: ) WITHOUT ROWID;
--sqlite: INSERT INTO refund SELECT * FROM refund_old;
--sqlite: DROP TABLE refund_old;
