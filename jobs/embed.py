"""spark-submit jobs/embed.py --conf conf/sample.yaml: the stage `embed` alone."""

import sys

from twigma_spark.cli import main

if __name__ == "__main__":
    main(["stage", "embed", *sys.argv[1:]])
