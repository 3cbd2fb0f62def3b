"""Forecasting models: training, export, registry, forecasts, and the ledger that keeps score."""
