"""Texts that every SQL database keeps."""

__all__ = ["storable_text"]


def storable_text(text: str, *, for_nul: str = "") -> str:
    """Return *text* without what SQL databases refuse: NUL and half surrogate pairs.

    *for_nul* takes the place of each NUL, and a question mark that of each half pair.
    """
    if "\0" in text:
        text = text.replace("\0", for_nul)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
