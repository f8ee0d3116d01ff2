"""Token sequences for training and validation, and their order."""
