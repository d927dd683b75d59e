"""`make bench`: every benchmark, one after another."""

from tests.bench import (
    coverage,
    fetching,
    gpu,
    imported_vectors,
    inference,
    paper,
    release,
    reward,
    reward_feeds,
    reward_taste,
    small_world,
    statistics,
    vectors,
)

if __name__ == "__main__":
    small_world.main()
    inference.main([])
    gpu.main([])
    vectors.main()
    imported_vectors.main([])
    statistics.main()
    release.main([])
    paper.main([])
    coverage.main([])
    reward.main()
    reward_feeds.main()
    reward_taste.main()
    fetching.main([])
