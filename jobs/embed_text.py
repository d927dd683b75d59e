"""spark-submit jobs/embed_text.py --conf conf/sample.yaml: the stage `embed_text` alone."""

import sys

from twigma_spark.cli import main

if __name__ == "__main__":
    main(["stage", "embed_text", *sys.argv[1:]])
