"""spark-submit jobs/project.py --conf conf/sample.yaml: the stage `project` alone."""

import sys

from twigma_spark.cli import main

if __name__ == "__main__":
    main(["stage", "project", *sys.argv[1:]])
