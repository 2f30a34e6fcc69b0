"""What messages may show: short values without anything that looks like a secret, texts without control codes."""

from __future__ import annotations

import re

from pydantic import BaseModel

MAX_LENGTH = 60

HIDDEN = "(not shown, it may be a password)"


def redacted(key: str, value: object) -> str:
    """Return `value`, which was given for `key`, in at most 60 characters.

    Only plain values and lists of them are shown. Anything else may contain any text and is named by its type.
    What follows a colon in an account or a user is left out (`name:password`), and so are the password in a URL
    and generated passwords.
    """
    if isinstance(value, (list, tuple)):
        text = "[" + ", ".join(_plain(key, item) for item in value) + "]"
    else:
        text = _plain(key, value)
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 3] + "..."


def safe_name(text: str) -> str:
    """Return the name of a key, a group, a host or a file; quoted and cut unless it is a plain word or path."""
    return text if re.fullmatch(r"[\w@./-]{1,120}", text, re.ASCII) else ascii(text)[:MAX_LENGTH]


def printable(text: str) -> str:
    """Return a line in which everything is escaped that could move a cursor, or hide or reverse what is shown.

    Surrogates are escaped too: a terminal cannot be sent any.
    """
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _plain(key: str, value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 64:
        return "a huge number"
    if isinstance(value, BaseModel):  # what the schema has accepted
        return str(value)
    if value is not None and not isinstance(value, (str, int, float)):
        return f"a {type(value).__name__}"
    # ascii() escapes line breaks, and letters that look like others.
    text = ascii(value)
    if "account" in key or "user" in key:
        text = re.sub(":.*", ":...'", text)
    text = re.sub(r":\S+@", ":...@", text)
    return re.sub(r"hlr_[\w-]+", "hlr_...", text)
