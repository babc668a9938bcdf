"""Speaks the protocol of `features.worker` and does what the bytes of a track say, without any audio.

"ok N" N frames of 59 values, all equal to N; "slow SECONDS" 3 frames after that time; "bad REASON";
"crash", "exit", "hang", "killed", "stop" (itself); "half ok N" ends within
its answer; "grow BYTES" keeps so many, frames by the process id;
"crash-once PATH" crashes unless PATH exists, and creates it. Names go to the file $STANDIN_LOG, if set.
"""

import ctypes
import json
import os
import signal
import struct
import sys
import time
from pathlib import Path

import numpy as np

SIGNALS = {"crash": signal.SIGSEGV, "killed": signal.SIGKILL, "stop": signal.SIGSTOP}
_KEPT: list[bytearray] = []


def answer(text: str) -> tuple[dict, bytes]:
    verb, _, rest = text.partition(" ")
    if verb == "crash-once":
        if not Path(rest).exists():
            Path(rest).touch()
            os.kill(os.getpid(), signal.SIGSEGV)
        verb, rest = "ok", "3"
    if verb == "slow":
        time.sleep(float(rest))
        rest = "3"
    if verb in SIGNALS:
        print("the decoder's last words" if verb == "crash" else "", file=sys.stderr, flush=True)
        os.kill(os.getpid(), SIGNALS[verb])
    if verb == "exit":
        sys.exit(3)
    if verb == "grow":
        _KEPT.append(bytearray(os.urandom(1) * int(rest)))
        rest = str(os.getpid() % 1000 + 1)
    if verb == "hang":
        time.sleep(1000)
    if verb == "bad":
        return {"ok": False, "reason": rest, "message": "as asked"}, b""
    frames = np.full((int(rest), 59), int(rest), "<f4")
    facts = {
        "duration_seconds": len(frames) * 512 / 22050,
        "sample_rate": 22050,
        "channels": 1,
        "decoder": "none",
        "missing_seconds": 0.0,
        "fallback": None,
    }
    return {"ok": True, "shape": frames.shape, "dtype": "<f4", **facts}, frames.tobytes()


def main() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    write(answers, {"ready": True})
    while head := requests.read(4):
        request = json.loads(requests.read(struct.unpack(">I", head)[0]))
        text = requests.read(request["bytes"]).decode()
        if "STANDIN_LOG" in os.environ:
            with open(os.environ["STANDIN_LOG"], "a") as log:
                log.write(request["name"] + "\n")
        header, payload = answer(text.removeprefix("half "))
        half = len(payload) // 2 if text.startswith("half ") else len(payload)
        write(answers, {"id": request["id"], **header}, payload[:half])
        if half < len(payload):
            return


def write(stream, header: dict, payload: bytes = b"") -> None:
    text = json.dumps(header).encode()
    stream.write(struct.pack(">I", len(text)) + text + payload)
    stream.flush()


if __name__ == "__main__":
    main()
