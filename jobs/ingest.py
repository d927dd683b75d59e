"""spark-submit jobs/ingest.py --conf conf/sample.yaml: the stage `ingest` alone."""

import sys

from twigma_spark.cli import main

if __name__ == "__main__":
    main(["stage", "ingest", *sys.argv[1:]])
