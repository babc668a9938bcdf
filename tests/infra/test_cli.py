"""Options, exit codes and one-line errors of every job's command."""

import re
import subprocess
import sys
from importlib.util import find_spec

import pytest

from infra import cli, errors
from infra.config import Config
from jobs.__main__ import COMMANDS, main
from tests.places import REPOSITORY


def command(
    capsys: pytest.CaptureFixture[str], *arguments: str, raising: BaseException | None = None
) -> tuple[int, str, str]:
    @cli.command("extract", takes=("root",))
    def main(config: Config, dry_run: cli.DryRun = False) -> None:
        """Does nothing."""
        if raising:
            raise raising
        print(config.root, config.extract.workers, dry_run)

    with pytest.raises(SystemExit) as ended:
        cli.run(main, arguments=arguments)
    out, err = capsys.readouterr()
    return ended.value.code or 0, out, err  # pyright: ignore[reportReturnType]


def test_options_arrive(capsys: pytest.CaptureFixture[str]):
    code, out, _ = command(capsys, "--root", "r", "--set", "extract.workers=3", "--dry-run")
    assert (code, out) == (0, "r 3 True\n")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.JobError, 1),
        (errors.ConfigError, 2),
        (errors.TooManyBadFiles, 3),
        (errors.Incomplete, 4),
        (errors.StorageError, 5),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    capsys: pytest.CaptureFixture[str], error: type[errors.JobError], code: int
):
    assert command(capsys, raising=error("it\nbroke"))[::2] == (code, "error: it broke\n")


def test_ctrl_c(capsys: pytest.CaptureFixture[str]):
    code, _, err = command(capsys, raising=KeyboardInterrupt())
    assert (code, err) == (130, "interrupted; run the same command again to continue\n")


def test_wrong_options_are_wrong_configuration(capsys: pytest.CaptureFixture[str]):
    code, _, err = command(capsys, "--set", "extract.wrokers=3")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("error: extract.wrokers: unknown key; known here: ")
    assert command(capsys, "--bogus")[0] == 2


def test_help_lists_the_configuration(capsys: pytest.CaptureFixture[str]):
    code, out, _ = command(capsys, "--help")
    assert code == 0
    assert "extract.shard_tracks = 512  (tracks of one shard at most)" in out


def test_a_bug_keeps_its_traceback():
    def main() -> None:
        """Breaks."""
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cli.run(main, arguments=[])


def test_one_application_has_all_commands_and_imports_the_one_asked_for(capsys: pytest.CaptureFixture[str]):
    def listed(*arguments: str) -> str:
        with pytest.raises(SystemExit):
            main(arguments)
        return capsys.readouterr().out

    text = listed("--help")
    assert re.findall(r"^  (\w+) {2,}\S", text, re.MULTILINE)[-len(COMMANDS) :] == list(COMMANDS)
    assert "Share of quarantined tracks" in listed("extract", "--help")
    script = "import sys; from jobs.__main__ import main\ntry: main(['status', '--root', '/nowhere'])\n"
    script += "except SystemExit as end: print(end.code, 'torch' in sys.modules, 'ray' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=REPOSITORY, check=False
    )
    assert done.stdout == "2 False False\n"


def test_every_command_keeps_its_module_name():
    for name in COMMANDS:
        assert find_spec(f"jobs.{name}") is not None
        assert find_spec(f"jobs.{name}").origin.endswith(".py")  # pyright: ignore
