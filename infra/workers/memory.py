"""Memory that was freed, given back: glibc keeps what lies below anything still in use."""

import ctypes
import time

APART_SECONDS = 2.0  # what is given back and needed again costs a page fault a page

_last = 0.0


def give_back() -> None:
    """Give freed memory back to the system, unless that was done a moment ago; nothing where the C library is another.

    Arrays of megabytes that come and go leave holes in the heap, and a process of many such steps grows by hundreds of
    megabytes until the holes fit.
    """
    global _last
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None and time.monotonic() - _last > APART_SECONDS:
        trim(0)
        _last = time.monotonic()
