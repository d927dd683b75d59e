"""spark-submit jobs/neighbours.py --conf conf/sample.yaml: the stage `neighbours` alone."""

import sys

from twigma_spark.cli import main

if __name__ == "__main__":
    main(["stage", "neighbours", *sys.argv[1:]])
