"""A page that runs a student in a browser, offline."""
