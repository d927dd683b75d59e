"""Images that people made with AI and posted, with their likes and prompts, studied on Spark."""

import os

# OpenMP's threads (of torch, FAISS and scikit-learn) by default wait for each other in a loop that keeps a processor
# busy. Where other work wants it too, each wait lasts a time slice: a small model's 400 steps took 8 to 32 s with two
# threads, and 3 s where they sleep. It is read when their library is loaded; what the user has set stands.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
