"""What a text is: words, language, charset, quality signals. Pure functions."""
