"""The commands as they are typed: each module declares the options of one, or of a few of a kind."""
