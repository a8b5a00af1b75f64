import numpy as np

np.random.seed(11)
corpus = np.random.choice(12, size=300, p=np.arange(1, 13) / 78.0)
VOCAB, DIM, WINDOW, NEG = 12, 5, 2, 4
counts = np.bincount(corpus, minlength=VOCAB) ** 0.75
noise = counts / counts.sum()

pairs = []
for i, w in enumerate(corpus):
    for j in range(max(0, i - WINDOW), min(len(corpus), i + WINDOW + 1)):
        if i != j:
            pairs.append((w, corpus[j]))
pairs = np.array(pairs)


def logsig(u):
    return -np.logaddexp(0, -u)


def sgns(V, U, center, context, negs):
    """V input vectors, U output vectors; center (B,), context (B,), negs (B, k)"""
    v = V[center]
    up = U[context]
    un = U[negs]
    pos = np.sum(v * up, axis=1)
    neg = np.einsum('bd,bkd->bk', v, un)
    loss = -(logsig(pos).sum() + logsig(-neg).sum()) / len(center)

    gpos = -np.exp(logsig(-pos)) / len(center)      # sigma(pos) - 1
    gneg = np.exp(logsig(neg)) / len(center)
    gV = np.zeros_like(V)
    gU = np.zeros_like(U)
    np.add.at(gV, center, gpos[:, None] * up + np.einsum('bk,bkd->bd', gneg, un))
    np.add.at(gU, context, gpos[:, None] * v)
    np.add.at(gU, negs, gneg[:, :, None] * v[:, None, :])
    return loss, gV, gU


V = (np.random.rand(VOCAB, DIM) - 0.5)
U = (np.random.rand(VOCAB, DIM) - 0.5)
lr = 0.5
for epoch in range(6):
    np.random.shuffle(pairs)
    total = 0
    for s in range(0, len(pairs) - 49, 50):
        c, o = pairs[s:s + 50].T
        k = np.random.choice(VOCAB, size=(50, NEG), p=noise)
        loss, gV, gU = sgns(V, U, c, o, k)
        V -= lr * gV
        U -= lr * gU
        total += loss
    lr *= 0.8
    print('epoch %d  mean loss %.4f' % (epoch, total / (len(pairs) // 50)))
