"""Numbers and text as people read them."""


def well_formed(text: str) -> str:
    """The text with `?` for each lone surrogate (a byte of a file's name that is no UTF-8, say),
    which no file can hold."""
    return text.encode("utf-8", "replace").decode()


def duration(seconds: float) -> str:
    """Two units at most: 4.21 -> `4.2 s`; 83.2 -> `1 min 23 s`; 3725 -> `1 h 02 min`."""
    if seconds < 59.95:  # from here on one decimal would read 60.0 s
        return f"{seconds:.1f} s"
    if seconds < 3599.5:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest:02d} s"
    hours, rest = divmod(round(seconds / 60), 60)
    return f"{hours} h {rest:02d} min"
