"""Near-duplicates: shingles, MinHash, exact similarity, components. Pure functions."""
