"""The shortest program of each tracker that logs one number, as a user would write it.

They are passed to ``python -c`` and load nothing but the tracker: what they open and what they
cost is the tracker's.
"""

from __future__ import annotations

MARK = "the-first-log-has-returned"
"""A name that the program tries to open: it stands in the trace where counting ends."""

_HEAD = """
import time
cpu_s, wall_s = time.process_time(), time.perf_counter()
"""

_TAIL = f"""
cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
try:
    open({MARK!r})
except OSError:
    pass
import json, os, resource, sys
children = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[2], "w") as out:
    json.dump({{
        "cpu_ms": cpu_s * 1e3,
        "wall_ms": wall_s * 1e3,
        "children_ms": (children.ru_utime + children.ru_stime) * 1e3,
        "modules": len(sys.modules),
    }}, out)
"""

_MIDDLES = {
    "struct": """
import struct
rows = []
rows.append(struct.pack("<qddH", 0, time.time(), 1.0, 0))
""",
    "hpctrack": """
import sys, hpctrack
run = hpctrack.init("bench", dir=sys.argv[1])
run.log({"loss": 1.0}, 0)
""",
    "wandb": """
import sys, wandb
run = wandb.init(project="bench", dir=sys.argv[1], mode="offline")
run.log({"loss": 1.0}, 0)
""",
    "trackio": """
import os, sys
os.environ["TRACKIO_DIR"] = sys.argv[1]
import trackio
run = trackio.init(project="bench", embed=False)
run.log({"loss": 1.0}, 0)
""",
    "tensorboard": """
import sys
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter
writer = EventFileWriter(sys.argv[1])
summary = Summary(value=[Summary.Value(tag="loss", simple_value=1.0)])
writer.add_event(Event(wall_time=time.time(), step=0, summary=summary))
""",
    "tensorboardX": """
import sys
from tensorboardX import SummaryWriter
SummaryWriter(sys.argv[1]).add_scalar("loss", 1.0, 0)
""",
    "torch": """
import sys
from torch.utils.tensorboard import SummaryWriter
SummaryWriter(sys.argv[1]).add_scalar("loss", 1.0, 0)
""",
    "mlflow": """
import os, pathlib, sys
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
import mlflow
mlflow.set_tracking_uri(pathlib.Path(sys.argv[1], "mlruns").as_uri())
mlflow.start_run()
mlflow.log_metrics({"loss": 1.0}, 0)
""",
    "aim": """
import sys, aim
run = aim.Run(repo=sys.argv[1], system_tracking_interval=None)
run.track(1.0, name="loss", step=0)
""",
}

START_TEXTS = {tool: _HEAD + middle + _TAIL for tool, middle in _MIDDLES.items()}

NUMPY = "numpy"
AFTER_NUMPY = "hpctrack after numpy"
"""Trainings import numpy, which loads most of what hpctrack needs of the standard library."""

START_TEXTS[NUMPY] = "import numpy\n" + START_TEXTS["struct"]
START_TEXTS[AFTER_NUMPY] = "import numpy\n" + START_TEXTS["hpctrack"]
