"""A simulated exchange: Binance's public REST and streams over a synthetic or a replayed market.

From the ground up:

    hashing, paths, refinement   noise by place; random walks at any hour; a candle drawn as finer ones
    listings, synthetic          which coins there are and their hours
    steps, replay                real candles from Parquet files
    candle_series, market        rows and how they add up; any candle at any moment, the forming one too
    tape, book, tickers, zoned   single trades, order book, 24 hours, other zones' days: all made from the candles
    rest, events                 what endpoints answer and streams tell
    limits, faults, journal      weights and bans; what shall go wrong; what was asked
    server, streams, connection  one port

Known differences to the exchange itself: every trade is its own aggregate; trade ids are counted within each UTC day's
own range; a synthetic candle opens at the close before it; the second that is still running is not told; order and
account endpoints, the WebSocket API, depth and average-price streams and zoned kline streams (`@+08:00`) are not there.
"""
