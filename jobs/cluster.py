"""spark-submit jobs/cluster.py --conf conf/sample.yaml: the stage `cluster` alone."""

import sys

from twigma_spark.cli import main

if __name__ == "__main__":
    main(["stage", "cluster", *sys.argv[1:]])
