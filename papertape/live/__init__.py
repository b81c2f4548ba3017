"""Paper and live runs: what they remember, what watches them, and how a person sees and stops them."""
