"""spark-submit jobs/concordance.py --conf conf/sample.yaml: the stage `concordance` alone."""

import sys

from twigma_spark.cli import main

if __name__ == "__main__":
    main(["stage", "concordance", *sys.argv[1:]])
