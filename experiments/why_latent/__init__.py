"""What is a latent vector?

Latent vectors are drawn and read by linear classifiers, features that are learnt are compared with random ones, and the
rank of the last layer's vectors is that of the log-probabilities.
"""

from experiments.why_latent import layers, probes, random_features, rank, same_pixels

MEASUREMENTS = (layers, probes, random_features, same_pixels, rank)
PICTURE = layers
