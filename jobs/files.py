"""`python -m jobs.files`, which is `hdpgmm files`."""

from infra import cli
from jobs.upkeep.files import files, main

__all__ = ["files", "main"]

if __name__ == "__main__":
    cli.run(main)
