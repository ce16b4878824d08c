"""Teachers: where their weights come from, how they are fine-tuned, what they say of an image."""
