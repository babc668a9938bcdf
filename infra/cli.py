"""What every job's command line has in common: options, exit codes, one-line errors."""

import functools
import inspect
import logging
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from infra.config import Config, load
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
    typer.Option(
        "--model",
        metavar="RUN|ROOT",
        help="Name under models/, or another root, or ROOT/models/RUN there. [default: the last finished]",
    ),
]
_KEYWORD = inspect.Parameter.KEYWORD_ONLY
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and do nothing.")]


OPTIONS: dict[str, tuple[str, Any]] = {  # of a configuration's own fields: the field and the option
    "root": ("root", Root),
    "music": ("music", Music),
    "labels": ("labels_file", Labels),
    "corpus": ("corpus", Corpus),
}
Main = Callable[..., None]


def command(*sections: str, takes: Sequence[str] = ("root", "corpus")) -> Callable[[Main], Main]:
    """Make a command of a function whose first parameter is a Config: it gets --config, --set and the options that
    `takes` names, which resolve it. Other parameters stay options of its own.

    `sections` of the configuration are listed with their defaults under `--help`.
    """

    def decorate(function: Main) -> Main:
        @functools.wraps(function)
        def main(config_file: str | None = None, overrides: list[str] | None = None, **options: Any) -> None:
            fields = {OPTIONS[name][0]: options.pop(name, None) for name in takes}
            function(load(config_file, tuple(overrides or ()), **fields), **options)

        _, *own = inspect.signature(function, eval_str=True).parameters.values()
        shared = {name: OPTIONS[name][1] for name in takes} | {"config_file": ConfigFile, "overrides": Set}
        made = [inspect.Parameter(name, _KEYWORD, default=None, annotation=a) for name, a in shared.items()]
        made += [parameter.replace(kind=_KEYWORD) for parameter in own]
        main.__signature__ = inspect.Signature(made)  # pyright: ignore[reportAttributeAccessIssue]
        main.__annotations__ = {parameter.name: parameter.annotation for parameter in made}
        main.sections = sections  # pyright: ignore[reportAttributeAccessIssue]
        return main

    return decorate


def application(commands: Mapping[str, Main]) -> typer.Typer:
    """The commands as one typer application."""
    app = typer.Typer(
        name="hdpgmm", add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
    )
    app.callback(help="Music representations that people can read, from millions of tracks.")(lambda: None)
    for name, main in commands.items():
        _add(app, name, main)
    return app


def run(job: Main | typer.Typer, arguments: Sequence[str] | None = None) -> None:
    """Run a command, or an application of several, and leave the process with the exit code that tells the truth.

    SIGTERM, a scheduler's notice, is taken as Ctrl-C.
    """
    _log_to_console()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not isinstance(job, typer.Typer):
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        _add(alone, None, job)
        job = alone
    job(args=arguments)


def _add(app: typer.Typer, name: str | None, main: Main) -> None:
    epilog = _defaults(getattr(main, "sections", ()))
    app.command(name, help=main.__doc__, epilog=epilog)(_guarded(main))


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
