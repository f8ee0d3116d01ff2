"""Tokens to checkpoints to scores to an exported model: plain PyTorch, no Prefect, no Spark."""
