#!/usr/bin/env bash
# Prints the GPUs of this node in the form that Spark's resource discovery reads; fails where nvidia-smi does.
set -euo pipefail
indices=$(nvidia-smi --query-gpu=index --format=csv,noheader)
addresses=$(sed 's/.*/"&"/' <<<"$indices" | paste -sd, -)
echo "{\"name\": \"gpu\", \"addresses\": [$addresses]}"
