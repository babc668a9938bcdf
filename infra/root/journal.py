"""Who may commit: numbered entries, each created exclusively, and nothing visible that is not an entry first.

    <lease>/00000041.json    {"tenure": 40, "token": 40, "owner": ..., "effect": {"create": [[path, text]], ...}, ...}
    <lease>/00000042.json    the head: the newest entry, the only one that says anything

To take the lease is to create the next entry; its number is the token. To commit is to create the next entry, too, with
what is to become visible (its effect), and only then to make it visible. Three rules make this safe whatever is paused
where, for any length of time:

1. Of two processes that create the same number one succeeds: no two hold one token, and a holder that was taken over
   finds its next number taken (`TakenOver`). It need not look whether it still holds the lease before it commits: the
   commit's entry is the look.
2. An entry is added by a holder that has completed the effect of its entry before, or by a new holder, whose entry
   takes over the effect of the one before; it completes that before it does anything else. So when a new holder begins,
   all that was committed with older tokens is visible already. A holder that is paused between its entry and the
   effect, and goes on long after it was taken over, creates what is there already: nothing happens. Who holds nothing
   completes nothing.
3. For that, an effect has to be harmless when it is repeated late. It creates objects whose names are used once (a
   snapshot's number, a checkpoint's label), and which stay for as long as that would show: readers pass over all
   snapshots but the newest, and the last checkpoint of an older token is not deleted while a model is trained. What it
   deletes nobody makes again. What it writes belongs to an object that it creates and only one commit can create. What
   it replaces otherwise, a table that has one name for all times, it moves there from a name that is used once: late,
   there is nothing left to move (`replace_files`).

Old entries are deleted but for the one before the head, in ascending order. A process that was paused long enough may
then succeed in creating a number that is long past. So an entry counts only if a listing made after it shows it as the
newest, with the one before it: where a number was deleted, the one before it was deleted earlier, and greater ones are
there, for the head is never deleted.

A lease that is held within another (a stage of a pipeline) is told of in the outer one's entries before it is taken,
with the number it will be taken with. Who takes the outer lease over adds an entry there, too, so that nobody goes on
inside.

A create whose answer was lost leaves an entry of the same token that its writer does not know of. It finds it when it
tries that number again, completes it, and goes on behind it. What a listing, a create and a read have to do is what the
local disk (link, readdir) and S3 (If-None-Match, strongly consistent lists) do; no clocks are compared.
"""

import json
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from infra.errors import StorageError, TakenOver
from infra.root import layout
from infra.root.owner import described
from infra.storage.store import Store

Objects = tuple[tuple[str, str], ...]  # paths relative to the root, and contents
PAIRS = ("write", "create", "move")


@dataclass(frozen=True)
class Effect:
    """What a commit makes visible, in this order. See rule 3 for what may be in it."""

    write: Objects = ()
    create: Objects = ()
    move: tuple[tuple[str, str], ...] = ()  # staged objects, and whose places they take
    delete: tuple[str, ...] = ()

    def apply(self, store: Store) -> None:
        """Once or again."""
        for path, text in self.write:
            store.write(path, text.encode())
        for path, text in self.create:
            store.create(path, text.encode())
        for staged, path in self.move:
            store.move(staged, path)
        for path in self.delete:
            store.delete(path)


NOTHING = Effect()


@dataclass(frozen=True)
class Entry:
    """`tenure`: the number with which the owner took the lease, 0 where nobody holds it. `token`: what commits bear,
    another one for every process that the owner lets commit. `children`: leases that the owner holds within this one.
    """

    number: int
    what: str = ""
    tenure: int = 0
    token: int = 0
    owner: Mapping[str, Any] = field(default_factory=dict)
    children: Mapping[str, int] = field(default_factory=dict)
    effect: Effect = NOTHING
    id: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def is_free(self) -> bool:
        return self.tenure == 0

    def followed(self, **changes: Any) -> "Entry":
        """The entry behind it, that differs in these."""
        return replace(self, number=self.number + 1, id=secrets.token_hex(8), **changes)


class Journal:
    """The entries under `path`."""

    def __init__(self, store: Store, path: str) -> None:
        self.store, self.path = store, path

    def head(self) -> Entry:
        """The newest entry; a free one with number 0 where there is none. A damaged one is nobody's."""
        while True:
            numbers = self.numbers()
            if not numbers:
                return Entry(0)
            found = self._read(numbers[-1])
            if found is not None:
                return found

    def put(self, entry: Entry) -> Entry | None:
        """The newest entry, if it has that number: this one, or who was first. None where the journal is beyond it.

        The effect of the entry before has to be complete, or to be this one's, too.
        """
        path, content = self._path(entry.number), json.dumps(asdict(entry), sort_keys=True).encode()
        found = entry if self.store.create(path, content) else self._read(entry.number)
        numbers = self.numbers()
        before = [entry.number - 1] * (entry.number > 1)
        if found is None or numbers[-1 - len(before) :] != [*before, entry.number]:
            return None
        if found.id == entry.id:
            self._prune(numbers[:-2])
        return found

    def numbers(self) -> list[int]:
        """Of the entries that are there, ascending."""
        stems = layout.json_stems(self.store.names(self.path))
        return sorted(int(stem) for stem in stems if stem.isdigit())

    def _prune(self, numbers: list[int]) -> None:
        with suppress(StorageError):  # the next one will
            for number in numbers:
                self.store.delete(self._path(number))

    def _read(self, number: int) -> Entry | None:
        try:
            found = json.loads(self.store.read(self._path(number)))
            objects = {name: tuple(map(tuple, found["effect"].get(name, ()))) for name in PAIRS}
            effect = Effect(**objects, delete=tuple(found["effect"]["delete"]))
            return Entry(**{**found, "number": number, "effect": effect})
        except FileNotFoundError:
            return None
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
            return Entry(number, what="damaged")

    def _path(self, number: int) -> str:
        return layout.lease_entry(self.path, number)


class Fence:
    """The right to commit with the token of `head`, until somebody takes another. One process uses it, any threads.

    It may travel to that process, before its first commit. The effect of `head` is complete.
    """

    def __init__(self, journal: Journal, head: Entry) -> None:
        self.journal, self.token = journal, head.token
        self._head, self._is_complete = head, True
        self._labels = 0
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type["Fence"], tuple[Journal, Entry]]:
        return Fence, (self.journal, self._head)

    def label(self) -> str:
        """Text for a name that nobody else uses; of two the later one, or that of the later token, sorts behind."""
        with self._lock:
            self._labels += 1
            return f"{self.token:08d}-{self._labels:05d}"

    def commit(self, effect: Effect = NOTHING, children: Mapping[str, int] | None = None) -> None:
        """Make this visible. Raises TakenOver where another token was taken: then it is not, or was before that.

        After a StorageError it is unknown whether it is or will be visible; the next call knows.
        """
        kept = self._head.children if children is None else children
        self._append(lambda head: head.followed(children=kept, effect=effect))

    def end(self) -> None:
        """The lease is nobody's."""
        self._append(lambda head: Entry(head.number + 1, head.what))

    def _append(self, following: Callable[[Entry], Entry]) -> None:
        with self._lock:
            while True:
                self._complete()
                entry = following(self._head)
                found = self.journal.put(entry)
                if found is None or (found.id != entry.id and found.token != self.token):
                    raise taken_over(self._head, found or self.journal.head())
                self._head, self._is_complete = found, False
                if found.id == entry.id:
                    self._complete()
                    return

    def _complete(self) -> None:
        if not self._is_complete:
            self._head.effect.apply(self.journal.store)
            self._is_complete = True


def make_visible(store: Store, effect: Effect, fence: Fence | None) -> None:
    """Make it visible with the fence's token, or, where nobody else can be at it, just so."""
    if fence is None:
        effect.apply(store)
    else:
        fence.commit(effect)


def replace_files(store: Store, files: Iterable[tuple[str, bytes]], fence: Fence | None) -> None:
    """Replace these objects, in their order, once all are written beside. One at a time is in memory.

    Raises TakenOver where another token was taken: then none is replaced.
    """
    staged: list[tuple[str, str]] = []
    try:
        for path, data in files:
            staged.append((store.stage(path, data), path))
        make_visible(store, Effect(move=tuple(staged)), fence)
    except TakenOver:
        with suppress(StorageError):  # jobs.gc will
            store.delete_many(path for path, _ in staged)
        raise


def succeed(journal: Journal, head: Entry, entry: Entry) -> Entry | None:
    """Put an entry behind the head of somebody else, complete what that left, and end what it held within.

    The entry as it is then; None where somebody was faster.
    """
    entry = replace(entry, effect=head.effect, children=head.children)
    found = journal.put(entry)
    if found is None or found.id != entry.id:
        return None
    entry.effect.apply(journal.store)
    for path, tenure in entry.children.items():
        revoke(Journal(journal.store, path), tenure)
    return replace(entry, effect=NOTHING, children={})


def revoke(journal: Journal, tenure: int) -> None:
    """Nobody commits any more in the lease that was or was to be taken with the number `tenure`."""
    while True:
        head = journal.head()
        if head.number >= tenure and head.tenure not in (0, tenure):
            if head.number == head.tenure:  # it may not yet have completed what it found
                head.effect.apply(journal.store)
            return
        if head.number >= tenure and head.is_free and not head.children and head.effect == NOTHING:
            return
        if succeed(journal, head, Entry(head.number + 1, head.what)) and head.number + 1 >= tenure:
            return


def taken_over(mine: Entry, head: Entry) -> TakenOver:
    """The error of a holder that is one no more."""
    who = "a run that has ended since" if head.is_free else described(head.owner)
    return TakenOver(f"{mine.what} was taken over by {who}; this run was silent for too long")
