"""Several labels in one field: what separates them, seen from all values of a column.

`a|b` and `['a', 'b']` are lists wherever they stand. Semicolons and commas also stand in names and prose: they
separate only in columns that are called as labels are, and if the parts come again in other company.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

PIPE, BRACKETS = "|", "[]"
TIMID = (";", ",")
LABEL_WORDS = frozenset(
    (
        *(
            "genre",
            "subgenre",
            "style",
            "substyle",
            "tag",
            "label",
            "class",
            "classes",
            "category",
            "categories",
        ),
        *(
            "mood",
            "theme",
            "emotion",
            "instrument",
            "keyword",
            "annotation",
            "moodtheme",
            "language",
            "topic",
        ),
    )
)
_RECURRING = 0.5  # of the parts of lists, how many must come again elsewhere
_ITEM = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^,'"\[\]{}]+))\s*(?:,|(?=['"])|$)""")


def separator_of(column: str, values: Iterable[Any], asked: bool = False) -> str | None:
    """`|`, `[]` (a list as programs write it), `;` or `,`; None where the values are no lists.

    `asked`: people say that they are, so that a comma is enough.
    """
    texts = [value for value in values if isinstance(value, str)]
    if any(PIPE in text for text in texts):
        return PIPE
    if texts and all(_bracketed(text) is not None for text in texts):
        return BRACKETS
    for separator in TIMID if asked or is_label_name(column) else ():
        if _separates(separator, texts) or (asked and any(separator in text for text in texts)):
            return separator
    return None


def is_label_name(column: str) -> bool:
    """Whether a column is called as labels are: genre, Genres, track_genres, mood tags."""
    last = _last_word(column)
    return bool({last, last.removesuffix("s")} & LABEL_WORDS)


def is_plural(column: str) -> bool:
    """Whether the name promises lists, even where every one is of one label: tags, genres, track_genres."""
    last = _last_word(column)
    return last in ("tag", "classes", "categories") or (last.endswith("s") and last[:-1] in LABEL_WORDS)


def _last_word(column: str) -> str:
    words = re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column).lower())
    return words[-1]


def unlisted_commas(column: str, values: Iterable[Any]) -> str | None:
    """A separator that many values of a label column hold although it does not seem to separate."""
    texts = [value for value in values if isinstance(value, str)]
    held = {separator: sum(separator in text for text in texts) for separator in TIMID}
    likely = max(TIMID, key=lambda separator: held[separator])
    return likely if is_label_name(column) and 2 * held[likely] >= len(texts) > 0 else None


def split(value: str | list[str] | None, separator: str = PIPE) -> list[str]:
    """The labels of a field, each once, in order."""
    if isinstance(value, list):
        parts: Sequence[str] = value
    elif separator == BRACKETS:
        parts = _bracketed(value or "") or ()
    else:
        parts = (value or "").split(separator)
    return list(dict.fromkeys(filter(None, (part.strip() for part in parts))))


def _separates(separator: str, texts: Sequence[str]) -> bool:
    """Whether the parts around a separator also come in other company: `pop,rock` beside `rock`, unlike `Bach, J`."""
    company: dict[str, set[str]] = defaultdict(set)
    whole = set(texts)
    for text in whole:
        for part in split(text, separator):
            company[part].add(text)
    parts = [part for text in whole if separator in text for part in split(text, separator)]
    recurring = sum(len(company[part]) > 1 for part in parts)
    return len(parts) > 0 and recurring >= _RECURRING * len(parts)


def _bracketed(text: str) -> list[str] | None:
    """The items of a list as JSON, Python or numpy write it; None for what is no list of words or numbers."""
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        items = _python_items(text[1:-1].strip())
    if not isinstance(items, list) or any(isinstance(item, (dict, list)) for item in items):
        return None
    return [str(item) for item in items if item is not None]


def _python_items(inside: str) -> list[str] | None:
    items, position = [], 0
    while position < len(inside):
        found = _ITEM.match(inside, position)
        if found is None or found.end() == position:
            return None
        single, double, bare = found.groups()
        quoted = single if single is not None else double
        items.append(bare.strip() if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
        position = found.end()
    return items
