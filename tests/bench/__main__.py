"""`make bench`: every benchmark, one after another."""

from tests.bench import inference

if __name__ == "__main__":
    inference.main()
