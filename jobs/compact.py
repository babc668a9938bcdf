"""`python -m jobs.compact`, which is `hdpgmm compact`."""

from infra import cli
from jobs.upkeep.compact import main

if __name__ == "__main__":
    cli.run(main)
