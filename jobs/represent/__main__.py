"""`python -m jobs.represent`, which is `hdpgmm represent`."""

from infra import cli
from jobs.represent.command import main

if __name__ == "__main__":
    cli.run(main)
