"""`python -m jobs.extract`, which is `hdpgmm extract`."""

from infra import cli
from jobs.extract.command import main

if __name__ == "__main__":
    cli.run(main)
