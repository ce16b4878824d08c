"""Architecture search: spaces, strategies, costs, and the search loop."""
