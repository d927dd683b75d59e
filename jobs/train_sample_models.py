"""python jobs/train_sample_models.py --out twigma_spark/sample/weights: the sample's tiny models, anew."""

import argparse
from pathlib import Path

from twigma_spark.sample.models import Plan, train_sample_models

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--steps", type=int, default=Plan.clip_steps, help="of CLIP; BLIP takes 9 for 4")
    given = parser.parse_args()
    steps = {"clip_steps": given.steps, "blip_steps": given.steps * 9 // 4}
    train_sample_models(given.out, Plan(seed=given.seed, **steps))
