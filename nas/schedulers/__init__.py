"""Trial schedulers: re-training and continuing known networks between the proposals of a strategy."""
