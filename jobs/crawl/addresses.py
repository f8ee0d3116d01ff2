"""How a crawl file is called: its name, its address without secrets, the URL of what has none."""

from urllib.parse import urlsplit

from infra import storage


def base_name(uri: str) -> str:
    """The file's own name; bytes in it that are no UTF-8 become `?`."""
    name = (urlsplit(uri).path if "://" in uri else uri).rstrip("/").rsplit("/", 1)[-1]
    return name.encode("utf-8", "replace").decode()


def public_uri(uri: str) -> str:
    """The URI without credentials and query."""
    if storage.is_local(uri):
        return uri
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def own_url(uri: str) -> str:
    """The URL of a file that is a document, or whose rows have no URL: where it was got from the
    web, else `file:///<base name>`, which does not say where it lies."""
    if uri.startswith(("http://", "https://")):
        return public_uri(uri)
    return f"file:///{base_name(uri)}"
