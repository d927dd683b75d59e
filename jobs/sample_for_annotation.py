"""spark-submit jobs/sample_for_annotation.py --conf conf/sample.yaml --out DIR: the annotators' sheet and page."""

import sys

from twigma_spark.cli.main import main

if __name__ == "__main__":
    main(["annotate", *sys.argv[1:]])
