"""spark-submit jobs/caption.py --conf conf/sample.yaml: the stage `caption` alone."""

import sys

from twigma_spark.cli import main

if __name__ == "__main__":
    main(["stage", "caption", *sys.argv[1:]])
