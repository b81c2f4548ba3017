"""Where market data comes from: files, caches, generators, brokers."""
