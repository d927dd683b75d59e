"""spark-submit jobs/likes.py --conf conf/sample.yaml: the stage `likes` alone."""

import sys

from twigma_spark.cli import main

if __name__ == "__main__":
    main(["stage", "likes", *sys.argv[1:]])
