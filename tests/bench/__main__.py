"""`make bench`: every benchmark, one after another."""

from tests.bench import inference, statistics, vectors

if __name__ == "__main__":
    inference.main()
    vectors.main()
    statistics.main()
