"""Paper and live trading."""
