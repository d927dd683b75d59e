"""spark-submit jobs/run_all.py --conf conf/sample.yaml: every stage in order, as `twigma run`."""

import sys

from twigma_spark.cli.main import main

if __name__ == "__main__":
    main(["run", *sys.argv[1:]])
