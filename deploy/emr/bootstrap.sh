#!/usr/bin/env bash
# Runs on every node of an EMR cluster: Python 3.11 with the pinned packages in /opt/twigma; pyspark stays the platform's.
# Of the bucket it takes only the folder it is given, which `submit.py upload` fills.
set -euo pipefail
source=${1:?"bootstrap.sh must be given s3://BUCKET/twigma/deploy"}
home=${TWIGMA_HOME:-/opt/twigma}
devices=${TWIGMA_DEVICES:-/sys/bus/pci/devices}

# NVIDIA is vendor 0x10de, and 0x03.... a display or 3D controller.
has_gpu() {
  local device
  for device in "$devices"/*; do
    if [ "$(cat "$device/vendor" 2>/dev/null)" = 0x10de ] && [[ "$(cat "$device/class" 2>/dev/null)" = 0x03* ]]; then
      return 0
    fi
  done
  return 1
}

if has_gpu; then
  if ! nvidia-smi >/dev/null 2>&1; then
    echo "bootstrap: a node with a GPU must have NVIDIA's driver, and nvidia-smi must run. It does not." >&2
    exit 1
  fi
  # YARN gives GPUs to containers by cgroups of version 1, which Amazon Linux 2023 does not mount.
  sudo mkdir -p /spark-rapids-cgroup/devices
  sudo mount -t cgroup -o devices cgroupv1-devices /spark-rapids-cgroup/devices
  sudo chmod a+rwx -R /spark-rapids-cgroup
fi

sudo dnf install -y python3.11 python3.11-pip
sudo mkdir -p "$home"
sudo chown "$(id -u)" "$home"
python3.11 -m venv "$home"
aws s3 sync --only-show-errors --exclude "*.tar.gz" "$source" "$home/deploy"
chmod +x "$home/deploy/get_gpus.sh"
"$home/bin/pip" install --quiet --require-hashes -r "$home/deploy/requirements.txt"
"$home/bin/pip" install --quiet --no-deps "$home"/deploy/wheels/*.whl
