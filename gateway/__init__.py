"""A simulated broker gateway that speaks Interactive Brokers' protocol."""
