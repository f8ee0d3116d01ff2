"""Building blocks of architectures, one operation a file."""
