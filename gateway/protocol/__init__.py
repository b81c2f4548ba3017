"""TWS's socket protocol without sockets: bytes to typed requests, typed replies to bytes, from tables."""
