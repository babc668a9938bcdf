"""`python -m jobs.gc`, which is `hdpgmm gc`."""

from infra import cli
from jobs.upkeep.gc import main

if __name__ == "__main__":
    cli.run(main)
