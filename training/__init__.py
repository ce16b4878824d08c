"""Data, augmentation, the training loop, metrics and the trained model on disk."""
