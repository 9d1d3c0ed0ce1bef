#!/usr/bin/env bash
# From nothing to a probed encoder: installs into .venv, pre-trains M3I on digit scenes, probes it.
set -euo pipefail
cd "$(dirname "$0")/.."
workdir=${1:-runs/m3i}
python3 -m venv .venv
.venv/bin/pip install --quiet -e '.[scenes]'
.venv/bin/python experiments/pretrain.py --config digit_scenes/m3i --workdir "$workdir"
.venv/bin/python experiments/evaluate.py --workdir "$workdir" --baselines --train_limit 5000
.venv/bin/python experiments/report.py --workdir "$workdir"
