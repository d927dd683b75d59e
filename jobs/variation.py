"""spark-submit jobs/variation.py --conf conf/sample.yaml: the stage `variation` alone."""

import sys

from twigma_spark.cli import main

if __name__ == "__main__":
    main(["stage", "variation", *sys.argv[1:]])
