"""What every job's command line has in common: options, exit codes, one-line errors."""

import functools
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from infra.config import Config
from infra.errors import JobError
from infra.progress import console
from infra.root.runs import INTERRUPTED

ConfigFile = Annotated[
    str | None, typer.Option("--config", metavar="FILE.yaml", help="Configuration file; see the list below.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="One configuration value; may be repeated."),
]
Root = Annotated[
    str | None,
    typer.Option(
        "--root",
        metavar="PATH|S3",
        help="Local path or s3://bucket/prefix that holds all tables. [default: $HDPGMM_ROOT or ./out]",
    ),
]
Music = Annotated[
    str | None,
    typer.Option("--music", metavar="PATH|S3", help="Folder, s3:// prefix, or CSV/Parquet list of audio."),
]
Labels = Annotated[
    str | None, typer.Option("--labels", metavar="FILE", help="CSV or Parquet with one row per track.")
]
Corpus = Annotated[
    str | None, typer.Option("--corpus", metavar="NAME", help="Name of the track list. [default: default]")
]
Model = Annotated[
    str | None,
    typer.Option("--model", metavar="RUN", help="Name under models/. [default: the last finished]"),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and do nothing.")]


def run(main: Callable[..., None], *sections: str, arguments: Sequence[str] | None = None) -> None:
    """Run a job's `main` as a command and leave the process with the exit code that tells the truth.

    SIGTERM, a scheduler's notice, is taken as Ctrl-C.
    `sections` of the configuration are listed with their defaults under `--help`.
    """
    _log_to_console()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(help=main.__doc__, epilog=_defaults(sections))(_guarded(main))
    app(args=arguments)


def _guarded(main: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(main)
    def guarded(**options: Any) -> None:
        try:
            main(**options)
        except JobError as error:
            raise typer.Exit(_complain(f"error: {error}", error.exit_code)) from error
        except KeyboardInterrupt as error:
            message = "interrupted; run the same command again to continue"
            raise typer.Exit(_complain(message, INTERRUPTED)) from error

    return guarded


def _complain(message: str, code: int) -> int:
    print(" ".join(message.split()), file=sys.stderr)
    return code


class _ConsoleHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if not getattr(record, "shown", False):
            console.print(self.format(record))


def _log_to_console() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[_ConsoleHandler()], force=True)
    for noisy in ("botocore", "aiobotocore", "s3fs", "fsspec", "urllib3", "numba", "faiss"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _defaults(sections: Sequence[str]) -> str:
    """Text for --help; \\b keeps typer from joining the lines."""
    blocks = ["Configuration, with defaults:"]
    for section in sections:
        model: Any = Config.model_fields[section].annotation
        blocks += ["\b\n" + "\n".join(_describe(section, model))]
    return "\n\n".join(blocks) if sections else ""


def _describe(section: str, model: type[BaseModel]) -> list[str]:
    return [
        f"{section}.{name} = {'' if field.default is None else field.default}  ({field.description})"
        for name, field in model.model_fields.items()
    ]
