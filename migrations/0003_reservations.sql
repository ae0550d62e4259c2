-- Reservations: goods that are held for a buyer until a moment. A hold is the counter
-- hold/SKU/RESERVATION/LINE, as large as what it holds.

-- up

-- items: the lines as "SKU QUANTITY" each, with a comma between two; they never change. state: held,
-- confirmed, released or expired. expires_at moves when the reservation is extended.
CREATE TABLE reservation (
    reservation VARCHAR(32) /*! CHARACTER SET binary */ NOT NULL,
    user_id     VARCHAR(128) /*! CHARACTER SET binary */ NULL,
    order_id    VARCHAR(128) /*! CHARACTER SET binary */ NULL,
    state       VARCHAR(12) /*! CHARACTER SET binary */ NOT NULL,
    items       TEXT /*! CHARACTER SET binary */ NOT NULL,
    expires_at  BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (reservation)
) /*! ENGINE=InnoDB */
--sqlite: WITHOUT ROWID
;

CREATE INDEX reservation_user ON reservation (user_id, reservation);

-- Open holds only. counter: the stock that guards the hold, so that what is due on a product is the
-- beginning of its part of the key.
CREATE TABLE hold (
    counter     VARCHAR(144) /*! CHARACTER SET binary */ NOT NULL,
    expires_at  BIGINT NOT NULL,
    reservation VARCHAR(32) /*! CHARACTER SET binary */ NOT NULL,
    line        BIGINT NOT NULL,
    quantity    BIGINT NOT NULL,
    PRIMARY KEY (counter, expires_at, reservation, line)
) /*! ENGINE=InnoDB */
--sqlite: WITHOUT ROWID
;

CREATE INDEX hold_expires_at ON hold (expires_at);

-- down

DROP TABLE hold;
DROP TABLE reservation;
