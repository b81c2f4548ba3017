"""The report of one run: what it says (content), and how that looks as a page."""
