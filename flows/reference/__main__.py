"""Write the reference: `python -m flows.reference`, from the checkout's folder."""

from pathlib import Path

from flows.reference.pages import FOLDER, pages


def main() -> None:
    """All pages, each whole."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    written = pages()
    for old in set(FOLDER.glob("*.md")) - {FOLDER / name for name in written}:
        old.unlink()
    for name, text in written.items():
        Path(FOLDER, name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
