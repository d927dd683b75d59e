"""spark-submit jobs/deduplicate.py --conf conf/sample.yaml: the stage `deduplicate` alone."""

import sys

from twigma_spark.cli import main

if __name__ == "__main__":
    main(["stage", "deduplicate", *sys.argv[1:]])
