"""What is searched: spaces, strategies, costs, and the loop that joins them."""
