# movie ratings: R ~ U V^T + user bias + movie bias, only over the observed cells
import numpy as np

REG = 0.1


def loss_and_gradients(factors, ratings, observed):
    U, V, bu, bv = factors
    pred = U @ V.T + bu[:, None] + bv[None, :]
    err = (pred - ratings) * observed
    loss = 0.5 * np.sum(err ** 2)
    loss += 0.5 * REG * (np.sum(U ** 2) + np.sum(V ** 2) + np.sum(bu ** 2) + np.sum(bv ** 2))

    gU = err @ V + REG * U
    gV = err.T @ U + REG * V
    gbu = err.sum(axis=1) + REG * bu
    gbv = err.sum(axis=0) + REG * bv
    return loss, [gU, gV, gbu, gbv]


gen = np.random.default_rng(99)
users, movies, rank = 6, 8, 3
POINT = (
    [gen.normal(size=(users, rank)), gen.normal(size=(movies, rank)),
     gen.normal(size=users), gen.normal(size=movies)],
    gen.integers(1, 6, size=(users, movies)).astype(float),
    (gen.random((users, movies)) < 0.6).astype(float),
)
