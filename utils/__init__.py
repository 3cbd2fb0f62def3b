"""The ground floor: errors, time, caches, monitoring. Imports nothing of ours above it."""
