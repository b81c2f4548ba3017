"""The pure part: words, columns, order lifecycle, ledger, guard and the one session loop. No clock, no network."""
