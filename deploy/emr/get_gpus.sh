#!/usr/bin/env bash
# Prints the GPUs of this node in the form that Spark's resource discovery reads.
addresses=$(nvidia-smi --query-gpu=index --format=csv,noheader | sed 's/.*/"&"/' | paste -sd, -)
echo "{\"name\": \"gpu\", \"addresses\": [$addresses]}"
