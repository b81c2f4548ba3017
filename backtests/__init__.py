"""Running a strategy on recorded tape, and judging what came out: metrics, reports, comparisons."""
