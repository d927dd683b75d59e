"""spark-submit jobs/distinctiveness.py --conf conf/sample.yaml: the stage `distinctiveness` alone."""

import sys

from twigma_spark.cli import main

if __name__ == "__main__":
    main(["stage", "distinctiveness", *sys.argv[1:]])
