"""What everything else builds on; imports nothing of Minnow."""
