"""What spark-submit starts on EMR: the command line, as `twigma`."""

import sys

from twigma_spark.cli.main import main

if __name__ == "__main__":
    main(sys.argv[1:])
