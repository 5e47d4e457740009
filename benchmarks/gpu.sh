#!/usr/bin/env bash
# All that is to be measured on a machine with a GPU, in 25 minutes on an H100 or H200:
#   benchmarks/gpu.sh reports/study/gpu
# writes gpu.json and gpu.md there. `--device cpu` runs all of it at toy size, as the tests do.
set -euo pipefail
PYTHONPATH=$(cd "$(dirname "$0")/.." && pwd)${PYTHONPATH:+:$PYTHONPATH}
export PYTHONPATH
exec python -m benchmarks.gpu "$@"
