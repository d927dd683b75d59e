"""spark-submit jobs/report.py --conf conf/sample.yaml: the stage `report` alone."""

import sys

from twigma_spark.cli import main

if __name__ == "__main__":
    main(["stage", "report", *sys.argv[1:]])
