"""The report of a run as one self-contained page: series, charts, tables, and the page around them."""
