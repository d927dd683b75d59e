"""spark-submit jobs/run_stage.py NAME --conf conf/sample.yaml: one stage, as `twigma stage NAME`."""

import sys

from twigma_spark.cli.main import main

if __name__ == "__main__":
    main(["stage", *sys.argv[1:]])
