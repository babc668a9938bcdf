"""HTML that is safe by construction: whatever is not already Html is escaped when it is put into a template."""

from collections.abc import Iterable
from html import escape


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def html(template: str, *values: object, **named: object) -> Html:
    """The template with {} and {name} filled in; every value that is not Html is escaped.

    Only the template's author writes tags: file names, labels and messages can never become one.
    """
    return Html(template.format(*map(_safe, values), **{name: _safe(value) for name, value in named.items()}))


def join(parts: Iterable[Html], separator: str = "") -> Html:
    """The parts one after the other."""
    return Html(separator.join(parts))


def _safe(value: object) -> Html:
    return value if isinstance(value, Html) else Html(escape(str(value), quote=True))
