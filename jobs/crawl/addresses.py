"""The URL of a crawl file that has none of its own."""

from infra import storage


def own_url(uri: str) -> str:
    """The URL of a file that is a document, or whose rows have no URL: where it was got from the
    web, else `file:///<base name>`, which does not say where it lies."""
    if uri.startswith(("http://", "https://")):
        return storage.public_uri(uri)
    return f"file:///{storage.base_name(uri)}"
