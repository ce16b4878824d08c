"""A page that runs a student in a browser, without a network."""
