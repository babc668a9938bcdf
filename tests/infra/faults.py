"""A storage that dies on purpose."""

from infra.storage.store import Store


class Crash(BaseException):
    """The process is gone; nothing catches this."""


class CrashingStore(Store):
    """Dies at write or create number `fatal`, before it takes effect or just after."""

    def __init__(self, root: str, fatal: int, applied: bool) -> None:
        super().__init__(root)
        self.left, self.applied = fatal, applied

    def write(self, path: str, data: bytes) -> None:
        fatal = self._count()
        super().write(path, data)
        if fatal:
            raise Crash(path)

    def create(self, path: str, data: bytes) -> bool:
        fatal = self._count()
        created = super().create(path, data)
        if fatal:
            raise Crash(path)
        return created

    def _count(self) -> bool:
        self.left -= 1
        if self.left < 0 and not self.applied:
            raise Crash
        return self.left < 0
