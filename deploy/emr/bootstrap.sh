#!/usr/bin/env bash
# Runs on every node of an EMR cluster: Python 3.11 with the package in /opt/twigma; pyspark stays the platform's.
# Under the first argument (s3://BUCKET/twigma) it expects the wheel, jobs/, conf/, models/ and get_gpus.sh.
set -euo pipefail
home=${1:?"bootstrap.sh must be given s3://BUCKET/twigma"}
bucket=${home#s3://}
sudo dnf install -y python3.11 python3.11-pip
sudo mkdir -p /opt/twigma
sudo chown "$(id -u)" /opt/twigma
python3.11 -m venv /opt/twigma
aws s3 sync "$home" /opt/twigma/ --exclude '*' --include '*.whl' --include 'jobs/*' --include 'conf/*' --include 'models/*' --include get_gpus.sh
sed -i "s|BUCKET|${bucket%%/*}|g" /opt/twigma/conf/emr.yaml
chmod +x /opt/twigma/get_gpus.sh
wheel=$(ls /opt/twigma/*.whl)
kind=cpu
if command -v nvidia-smi >/dev/null; then kind=gpu; fi
/opt/twigma/bin/pip install --quiet "$wheel[models,stats,umap,$kind]" s3fs
