"""`python -m jobs.evaluate`, which is `hdpgmm evaluate`."""

from infra import cli
from jobs.evaluate.command import main

if __name__ == "__main__":
    cli.run(main)
