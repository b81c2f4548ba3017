"""Paper and live trading: the two halves of a run in real time, its journal, and what watches over it."""
