"""`python -m jobs.index`, which is `hdpgmm index`."""

from infra import cli
from jobs.index.command import main

if __name__ == "__main__":
    cli.run(main)
