"""Verified checkpoints: safetensors and JSON, whole or absent, an index entry written last.

<prefix>/step-00000040.safetensors
<prefix>/index/step-00000040.json    {"step", "files": {path below prefix: sha256}, "meta": {...}}

Those of a training are committed with the token of its lease (infra.root.journal), which is in their names:
step-00000040-00000012-00003, the third that was tried with token 12. So nobody overwrites another's, however late.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from infra.errors import StorageError
from infra.root import layout
from infra.root.journal import Effect, Fence
from infra.storage.store import Store


class Checkpoints:
    """The checkpoints under `prefix`. fence: whose token they are committed with; of what anybody may write, none."""

    def __init__(self, store: Store, prefix: str, fence: Fence | None = None) -> None:
        self.store = store
        self.prefix = prefix
        self.fence = fence
        self.damaged: list[str] = []  # those that the last `load` passed over
        self.written: int | None = None  # the step of the last one that is whole
        self._writer = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def save_beside(
        self,
        step: int,
        tensors: Mapping[str, np.ndarray],
        meta: Mapping[str, Any],
        keep: int,
        best: int | None,
    ) -> StorageError | None:
        """`save` in a thread of its own, once the one before is written; why that one could not be, if it could not.

        Nobody may change the arrays or `meta` afterwards.
        """
        problem = self.wait()
        self._writing = self._writer.submit(self.save, step, tensors, meta, keep, best)
        return problem

    def wait(self) -> StorageError | None:
        """Until nothing is being written; why the last one could not be, if it could not."""
        writing, self._writing = self._writing, None
        try:
            if writing:
                writing.result()
        except StorageError as error:
            return error
        return None

    def save(
        self,
        step: int,
        tensors: Mapping[str, np.ndarray],
        meta: Mapping[str, Any],
        keep: int,
        best: int | None = None,
    ) -> None:
        """Write a checkpoint, then forget all but the newest `keep` and that of step `best`."""
        name = layout.checkpoint_name(step) + (f"-{self.fence.label()}" if self.fence else "")
        data = save_tensors({key: np.ascontiguousarray(value) for key, value in tensors.items()})
        file = layout.tensors(name)
        entry = {"step": step, "files": {file: hashlib.sha256(data).hexdigest()}, "meta": dict(meta)}
        self.store.write(layout.listed(self.prefix, file), data)
        marker = ((layout.checkpoint_entry(self.prefix, name), json.dumps(entry, sort_keys=True)),)
        old = self._superseded(sorted({*self._names(), name}), keep, best)
        if self.fence:
            self.fence.commit(Effect(create=marker, delete=old))
        else:
            Effect(write=marker, delete=old).apply(self.store)
        self.written = step

    def _superseded(self, names: list[str], keep: int, best: int | None) -> tuple[str, ...]:
        """Files of all but the newest, that of step `best`, and what an older token may still be about to commit."""
        kept = {*names[-keep:], *(_late(names, self.fence.token) if self.fence else ())}
        old = [name for name in names if name not in kept and layout.step_of(name) != best]
        return tuple(
            path
            for name in old
            for path in (
                layout.checkpoint_entry(self.prefix, name),
                layout.listed(self.prefix, layout.tensors(name)),
            )
        )

    def load(self, step: int | None = None) -> tuple[int, dict[str, np.ndarray], dict[str, Any]] | None:
        """(step, tensors, meta) of the newest checkpoint whose digest matches, or of that of `step`.

        Damaged ones are passed over.
        """
        self.damaged = []
        for name in self._of(step):
            found = self._read(name)
            if found is not None:
                return found
            self.damaged.append(name)
        return None

    def digest(self, step: int) -> str:
        """Of the files of the checkpoint of `step`, as its entry says: 64 hexadecimal digits, "" where there is none.

        The same wherever it is copied to.
        """
        for name in self._of(step):
            try:
                files = json.loads(self.store.read(layout.checkpoint_entry(self.prefix, name)))["files"]
                return hashlib.sha256(json.dumps([*files.values()]).encode()).hexdigest()
            except (FileNotFoundError, ValueError, KeyError, AttributeError, TypeError):
                continue
        return ""

    def copy(self, other: "Checkpoints", step: int) -> bool:
        """Copy the checkpoint of `step` from another place, its digests checked, its entry last.

        False, and nothing counts, where none is whole there. In memory: its largest file. Others here stay.
        """
        for name in other._of(step):
            entry = layout.checkpoint_entry(other.prefix, name)
            try:
                record = other.store.read(entry)
                for file, digest in json.loads(record)["files"].items():
                    data = other.store.read(layout.listed(other.prefix, file))
                    if hashlib.sha256(data).hexdigest() != digest:
                        raise ValueError(file)
                    self.store.write(layout.listed(self.prefix, file), data)
            except (FileNotFoundError, ValueError, KeyError, AttributeError, TypeError):
                continue
            self.store.write(layout.checkpoint_entry(self.prefix, name), record)
            return True
        return False

    def _of(self, step: int | None) -> list[str]:
        """Names of the checkpoints of a step, or of all; the newest first."""
        return [name for name in reversed(self._names()) if step in (None, layout.step_of(name))]

    def _names(self) -> list[str]:
        return layout.json_stems(self.store.names(layout.checkpoint_entries(self.prefix)))

    def _read(self, name: str) -> tuple[int, dict[str, np.ndarray], dict[str, Any]] | None:
        try:
            entry = json.loads(self.store.read(layout.checkpoint_entry(self.prefix, name)))
            tensors: dict[str, np.ndarray] = {}
            for file, digest in entry["files"].items():
                data = self.store.read(layout.listed(self.prefix, file))
                if hashlib.sha256(data).hexdigest() != digest:
                    return None
                tensors |= load_tensors(data)
        except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError, KeyError, SafetensorError):
            return None
        return entry["step"], tensors, entry["meta"]


def _late(names: Sequence[str], token: int) -> list[str]:
    """The last checkpoint of every other token: its writer may have been paused before the entry was visible, and would
    create it again if it were deleted.
    """
    labels = sorted((name.split("-")[2:], name) for name in names)
    last = {label[0]: name for label, name in labels if label}
    return [name for other, name in last.items() if other != f"{token:08d}"]
