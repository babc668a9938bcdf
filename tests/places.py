"""Where things lie outside of the tests' own folders."""

from pathlib import Path

TESTS = Path(__file__).resolve().parent
REPOSITORY = TESTS.parent
SHARED = (
    REPOSITORY.parent / "shared"
)  # beside the checkout, where there is one; tests that use it pass without
