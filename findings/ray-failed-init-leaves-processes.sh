#!/usr/bin/env bash
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet ray==2.60.0
# Where ray.init(address="local") gives up waiting for its own server (here because it is told to wait 0 s, in life
# because the machine is loaded), it raises and does not know of the server that it started: ray.shutdown() ends nothing,
# and the server runs on beside the next try. Another ray.init() in the same process is the usual remedy, so each failed
# try leaves one more.
cd "$work" && RAY_gcs_server_port_wait_time_s=0 venv/bin/python - <<'PYTHON' 2> /dev/null
import os, platform, signal, subprocess, sys, time
import ray


def children():
    listed = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(os.getpid())], capture_output=True, text=True).stdout
    return {int(pid): name.strip() for pid, name in (line.split(None, 1) for line in listed.splitlines())}


print("python", platform.python_version(), "ray", ray.__version__)
try:
    ray.init(address="local", include_dashboard=False)
    print("expected an error: Ray started")
    sys.exit(1)
except Exception as error:
    print("ray.init:", type(error).__name__, str(error).splitlines()[0][:100])
ray.shutdown()
time.sleep(3)
left = {pid: name for pid, name in children().items() if name != "ps"}
print("expected no process of Ray after ray.shutdown(); seen", sorted(left.values()))
for pid in left:
    os.kill(pid, signal.SIGKILL)
sys.exit(not any("gcs_server" in name for name in left.values()))
PYTHON
