"""Where orders go: fill model, fees, the simulated broker, and real ones."""
