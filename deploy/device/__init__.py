"""Models on a device: the program that runs them there, and the connection to it."""
