"""Stands in for ``compressa-perf``: the same configuration, the same database, one request."""

import csv
import json
import os
import random
import signal
import sqlite3
import sys
import urllib.request
from pathlib import Path

(command, flag, database, source) = sys.argv[1:]
assert (command, flag) == ("measure-from-yaml", "--db"), sys.argv
(config,) = json.loads(Path(source).read_text())
if config["model_name"] == "hangs":
    signal.pause()
print("environment:", sorted(os.environ))
print("the key is", config["api_key"])
with Path(config["prompts_file"]).open(newline="") as file:
    lines = [row[0][: config["prompt_length"]] for row in csv.reader(file)]
generator = random.Random(config["seed"])
asked = [generator.choice(lines) for _ in range(config["num_tasks"])]
base = sqlite3.connect(database)
base.execute("CREATE TABLE Metrics (metric_name, metric_value)")
base.execute("CREATE TABLE Measurements (n_input, n_output, ttft, start_time, end_time, status)")
for number, prompt in enumerate(asked):
    body = {"model": config["model_name"], "messages": [{"role": "user", "content": prompt}]}
    request = urllib.request.Request(
        config["openai_url"] + "chat/completions",
        json.dumps(body | {"max_tokens": config["max_tokens"]}).encode(),
        {"Content-Type": "application/json", "Authorization": "Bearer " + config["api_key"]},
    )
    try:
        with urllib.request.urlopen(request) as reply:
            usage, status = json.load(reply)["usage"], "success"
    except OSError as error:
        print(error)
        usage, status = {"prompt_tokens": -1, "completion_tokens": -1}, "failed"
    row = (usage["prompt_tokens"], usage["completion_tokens"], 0.02, number, number + 0.5, status)
    base.execute("INSERT INTO Measurements VALUES (?, ?, ?, ?, ?, ?)", row)
metrics = {"TTFT": 0.02, "LATENCY": 0.5, "TPOT": 0.1, "RPS": 1.5, "LONGER_THAN_60_LATENCY": 0}
base.executemany("INSERT INTO Metrics VALUES (?, ?)", metrics.items())
base.commit()
Path("asked.json").write_text(json.dumps(asked))
