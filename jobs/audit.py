"""`python -m jobs.audit`, which is `hdpgmm audit`."""

from infra import cli
from jobs.upkeep.audit import main

if __name__ == "__main__":
    cli.run(main)
