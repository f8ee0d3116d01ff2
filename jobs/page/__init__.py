"""One page: from markup to main content. Pure functions."""
