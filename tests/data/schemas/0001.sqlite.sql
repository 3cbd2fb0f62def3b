-- The tables of revision 0001, as that version made them. Never changed again.
CREATE TABLE series (
    id INTEGER NOT NULL,
    symbol VARCHAR(40) NOT NULL,
    interval VARCHAR(4) NOT NULL,
    candles BIGINT NOT NULL,
    first_open_ms BIGINT,
    last_open_ms BIGINT,
    PRIMARY KEY (id),
    UNIQUE (symbol, interval)
);
CREATE TABLE candles (
    series_id INTEGER NOT NULL,
    open_time_ms BIGINT NOT NULL,
    packed BLOB NOT NULL,
    PRIMARY KEY (series_id, open_time_ms),
    FOREIGN KEY(series_id) REFERENCES series (id)
)
 WITHOUT ROWID;
CREATE TABLE holes (
    series_id INTEGER NOT NULL,
    start_ms BIGINT NOT NULL,
    end_ms BIGINT NOT NULL,
    PRIMARY KEY (series_id, start_ms),
    FOREIGN KEY(series_id) REFERENCES series (id)
)
 WITHOUT ROWID;
CREATE TABLE ledger_models (
    "key" INTEGER NOT NULL,
    model_id VARCHAR(64) NOT NULL,
    digest VARCHAR(64) NOT NULL,
    interval VARCHAR(4) NOT NULL,
    horizons JSON NOT NULL,
    quantiles JSON NOT NULL,
    baseline JSON NOT NULL,
    PRIMARY KEY ("key"),
    UNIQUE (digest, interval)
);
CREATE INDEX ix_ledger_models_model_id ON ledger_models (model_id);
CREATE TABLE ledger_forecasts (
    "key" INTEGER NOT NULL,
    model INTEGER NOT NULL,
    symbol VARCHAR(20) NOT NULL,
    last_open_time_ms BIGINT NOT NULL,
    made_at_ms BIGINT NOT NULL,
    last_close DOUBLE NOT NULL,
    sigma DOUBLE NOT NULL,
    log_returns BLOB NOT NULL,
    open_mask BIGINT NOT NULL,
    chain BLOB,
    PRIMARY KEY ("key"),
    UNIQUE (model, symbol, last_open_time_ms),
    FOREIGN KEY(model) REFERENCES ledger_models ("key")
);
CREATE INDEX ledger_recent ON ledger_forecasts (symbol, last_open_time_ms);
CREATE INDEX ledger_open ON ledger_forecasts (symbol, model) WHERE open_mask != 0;
CREATE TABLE ledger_days (
    model INTEGER NOT NULL,
    symbol VARCHAR(20) NOT NULL,
    horizon SMALLINT NOT NULL,
    day INTEGER NOT NULL,
    scored DOUBLE NOT NULL,
    unscorable DOUBLE NOT NULL,
    loss DOUBLE NOT NULL,
    baseline_loss DOUBLE NOT NULL,
    inside_50 DOUBLE NOT NULL,
    inside_90 DOUBLE NOT NULL,
    directional DOUBLE NOT NULL,
    hits DOUBLE NOT NULL,
    PRIMARY KEY (model, symbol, horizon, day),
    FOREIGN KEY(model) REFERENCES ledger_models ("key")
)
 WITHOUT ROWID;
CREATE TABLE ledger_scores (
    forecast INTEGER NOT NULL,
    horizon SMALLINT NOT NULL,
    scored_at_ms BIGINT NOT NULL,
    state SMALLINT NOT NULL,
    realised DOUBLE,
    loss DOUBLE,
    baseline_loss DOUBLE,
    PRIMARY KEY (forecast, horizon),
    FOREIGN KEY(forecast) REFERENCES ledger_forecasts ("key")
)
 WITHOUT ROWID;
