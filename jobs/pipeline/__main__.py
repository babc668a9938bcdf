"""`python -m jobs.pipeline`."""

from infra import cli
from jobs.pipeline.job import main

cli.run(
    main, "index", "labels", "extract", "train", "represent", "evaluate", "taste", "pipeline", "report", "ray"
)
