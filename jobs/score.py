"""spark-submit jobs/score.py --conf conf/sample.yaml: the stage `score` alone."""

import sys

from twigma_spark.cli import main

if __name__ == "__main__":
    main(["stage", "score", *sys.argv[1:]])
