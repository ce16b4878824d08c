"""What each command does: settings in, one run of the stages below, results on the screen."""
