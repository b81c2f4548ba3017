"""Interactive Brokers: translation, the session with TWS as a state machine, and the thin edge that has the socket."""
