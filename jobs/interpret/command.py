"""`hdpgmm interpret`."""

import math

from rich.console import Console
from rich.table import Table

from evaluation.interpretation.association import Association
from evaluation.interpretation.tally import CARRIED, FEW_GROUPS, FEW_SONGS
from infra import cli
from infra.config import Config
from infra.root import layout
from infra.storage.parquet import decode
from infra.storage.store import Store
from jobs.interpret.job import Interpreted, plan_text, run


@cli.command("interpret", "evaluate")
def main(config: Config, model: cli.Model = None, dry_run: cli.DryRun = False) -> None:
    """What components go with, and whether that holds on other songs."""
    if dry_run:
        print(plan_text(config, model))
        return
    found = run(config, model)
    show(Store(config.root), found, config.interpret.shown)
    print(found.folder)


def show(store: Store, found: Interpreted, shown: int) -> None:
    """The most used components with what they go with, then how well names hold."""
    components = decode(store.read(layout.interpretation_table(found.model, layout.COMPONENTS))).to_pylist()
    kept = decode(store.read(layout.interpretation_table(found.model, layout.ASSOCIATIONS)))
    associations = [Association(**row) for row in kept.to_pylist()]
    table = Table(title="Components, most used first: labels by NPMI (lift [95 %], p)", title_justify="left")
    for head in (
        "component",
        "of all frames",
        "songs (groups)",
        "goes with",
        "holds",
        "AUROC on other songs",
    ):
        table.add_column(head)
    for row in sorted(components, key=lambda row: -row["share"])[:shown]:
        mine = [one for one in associations if one.component == row["component"] and one.p <= 0.05][:3]
        words = "\n".join(
            f"{one.label} {one.lift:.1f} {_interval(one.low, one.high)}, {one.p:.3f}" for one in mine
        )
        auroc = ", ".join(
            f"{'not tested' if one['heldout_auroc'] is None else format(one['heldout_auroc'], '.2f')} ({one['label']})"
            for one in row["names"]
        )
        table.add_row(
            *(str(row["component"]), f"{100 * row['share']:.1f} %", f"{row['songs']} ({row['groups']})"),
            *(words or "nothing in particular", "\n".join(row["holds"]), auroc),
        )
    console = Console(highlight=False, width=120)
    console.print(table)
    few = (
        f"fewer than {FEW_SONGS} songs or {FEW_GROUPS} groups carry ({CARRIED:.0%} of their frames at least)"
    )
    console.print(f"Components that {few} have {found.summary['few_songs_mass']:.1%} of all frames.")
    for one in found.summary["units"]:
        console.print(
            f"{one['units']}: of the {one['checked']} most used {one['names_hold']} have a label that holds on other "
            f"songs (shuffled {one['names_hold_shuffled']}); "
            f"AUROC {one['auroc']:.3f} (shuffled {one['auroc_shuffled']:.3f}), NPMI {one['coherence']:.3f} "
            f"({one['coherence_shuffled']:.3f}), diversity {one['diversity']:.2f}"
        )


def _interval(low: float, high: float) -> str:
    """In brackets; the songs of one artist alone have none."""
    return f"[{low:.1f}, {high:.1f}]" if math.isfinite(high) else "[one artist]"
