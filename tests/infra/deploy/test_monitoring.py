"""Alert rules and the dashboard: promtool runs the rules' tests and reads every expression; every metric exists."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from infra.workers.pool_metrics import DESCRIBED
from jobs.train.progress import METRICS

MONITORING = Path("infra/deploy/monitoring")
RULES, DASHBOARD = MONITORING / "rules.yaml", MONITORING / "dashboard.json"


@pytest.fixture(scope="module")
def promtool() -> str:
    """Where it is; `make test` fetches it where it can."""
    found = shutil.which("promtool") or shutil.which(".venv/bin/promtool")
    if found is None and os.path.exists("/usr/bin/apt-get"):
        pytest.fail("promtool is not there: make promtool")
    if found is None:
        pytest.skip("needs promtool, of Debian's package prometheus")
    return found


def run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def expressions() -> list[str]:
    """Those of the dashboard, with Grafana's variables filled in."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel["targets"]]
    return [text.replace("$run", ".*").replace("$__rate_interval", "5m") for text in found]


def rules() -> list[dict]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return group["rules"]


def test_rules_pass_their_tests(promtool: str) -> None:
    run(str(Path(promtool).absolute()), "check", "rules", "rules.yaml", cwd=MONITORING)
    run(str(Path(promtool).absolute()), "test", "rules", "rules_test.yaml", cwd=MONITORING)


def test_every_alert_has_a_test_that_fires_it() -> None:
    tests = yaml.safe_load((MONITORING / "rules_test.yaml").read_text())["tests"]
    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert fired == {rule["alert"] for rule in rules()}


def test_expressions_of_the_dashboard_can_be_read(promtool: str, tmp_path: Path) -> None:
    assert not [text for text in expressions() if "$" in text]
    recorded = [{"record": f"panel:{i}", "expr": text} for i, text in enumerate(expressions())]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    assert f"{len(recorded)} rules found" in run(promtool, "check", "rules", str(path))
    recorded.append({"record": "panel:bad", "expr": "sum by (run) (rate(x[5m])"})
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    assert (
        subprocess.run([promtool, "check", "rules", str(path)], capture_output=True, check=False).returncode
        != 0
    )


def test_every_metric_that_is_read_is_written_and_every_one_written_is_shown() -> None:
    work = {f"{job}_{name}" for job in ("extract", "represent") for name in DESCRIBED}
    written = {f"train_{name}" for name in METRICS} | work
    read = {name for rule in rules() for name in metrics_in(rule["expr"])}
    shown = {name for text in expressions() for name in metrics_in(text)}
    assert read <= written
    assert shown <= written
    assert {name for name in written if name.startswith("train_")} <= shown


def metrics_in(text: str) -> set[str]:
    return set(re.findall(r"ray_hdpgmm_(\w+)", text))


def test_every_alert_has_a_runbook() -> None:
    readme = (MONITORING.parent / "README.md").read_text()
    headings = {
        line.lstrip("# ").lower().replace(" ", "-") for line in readme.splitlines() if line.startswith("#")
    }
    for rule in rules():
        path, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert Path(path) == MONITORING.parent / "README.md"
        assert anchor in headings


def test_panels_do_not_overlap() -> None:
    places = [panel["gridPos"] for panel in json.loads(DASHBOARD.read_text())["panels"]]
    cells = [
        (x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
