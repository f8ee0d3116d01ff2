"""Tokenizers and packed tokens. Pure functions."""
