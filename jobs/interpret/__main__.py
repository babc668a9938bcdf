"""`python -m jobs.interpret`, which is `hdpgmm interpret`."""

from infra import cli
from jobs.interpret.command import main

if __name__ == "__main__":
    cli.run(main)
