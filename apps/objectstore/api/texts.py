"""Text on the wire: WSGI's headers stand for single bytes, which are UTF-8 here."""

from __future__ import annotations


def latin(text: str) -> str:
    """Text for a header of an answer."""
    return text.encode().decode("latin-1")
