"""The market: exchange client, candle store, feed, indicators, and the simulated exchange."""
