"""A simulated exchange: Binance's public REST and streams over a synthetic or a replayed market."""
