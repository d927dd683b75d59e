"""spark-submit jobs/trends.py --conf conf/sample.yaml: the stage `trends` alone."""

import sys

from twigma_spark.cli import main

if __name__ == "__main__":
    main(["stage", "trends", *sys.argv[1:]])
