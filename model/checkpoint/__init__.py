"""Checkpoints of a training, their storage, and the final model."""
