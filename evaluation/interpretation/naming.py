"""Short names of components that no two share."""

from collections import Counter
from collections.abc import Sequence


def told_apart(parts: Sequence[Sequence[str]], first: Sequence[int], numbers: Sequence[int]) -> list[str]:
    """A name for each component: its `first` parts; where others have the same, the next ones too, else its number.

    parts: of each component, words by how much they tell, most first; without any it is an ordinary sound.
    """
    taken = list(first)
    while True:
        names = [", ".join(words[:n]) for words, n in zip(parts, taken, strict=True)]
        alike = Counter(names)
        longer = [i for i, name in enumerate(names) if alike[name] > 1 and taken[i] < len(parts[i])]
        if not longer:
            break
        for i in longer:
            taken[i] += 1
    names = [name or "an ordinary sound" for name in names]
    alike = Counter(names)
    return [
        f"{name} ({number})" if alike[name] > 1 else name for name, number in zip(names, numbers, strict=True)
    ]
