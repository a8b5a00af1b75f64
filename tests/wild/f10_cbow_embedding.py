import numpy as np

TEXT = """the cat sat on the mat the dog sat on the rug the cat saw the dog
and the dog saw the cat the mat was red and the rug was blue""".split()
WINDOW = 2


def build(tokens):
    vocab = {}
    for w in tokens:
        vocab.setdefault(w, len(vocab))
    ids = [vocab[w] for w in tokens]
    contexts, targets = [], []
    for i in range(WINDOW, len(ids) - WINDOW):
        contexts.append(ids[i - WINDOW:i] + ids[i + 1:i + WINDOW + 1])
        targets.append(ids[i])
    return vocab, np.array(contexts), np.array(targets)


class CBOW:
    """Average the context embeddings, predict the word in the middle."""

    def __init__(self, vocab_size, dim, rng):
        self.emb = rng.normal(0, 0.5, (vocab_size, dim))
        self.out = rng.normal(0, 0.5, (dim, vocab_size))

    def scores(self, ctx):
        self.ctx = ctx
        self.h = self.emb[ctx].mean(axis=1)
        return self.h @ self.out

    def loss(self, ctx, tgt):
        s = self.scores(ctx)
        s = s - s.max(axis=1, keepdims=True)
        self.p = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)
        self.tgt = tgt
        return -np.mean(np.log(self.p[np.arange(len(tgt)), tgt]))

    def backward(self):
        n, c = self.ctx.shape
        ds = self.p.copy()
        ds[np.arange(n), self.tgt] -= 1
        ds /= n
        d_out = self.h.T @ ds
        dh = ds @ self.out.T
        d_emb = np.zeros_like(self.emb)
        for k in range(c):
            d_emb[self.ctx[:, k]] += dh / c
        return d_emb, d_out

    def fit(self, ctx, tgt, lr=2.0, epochs=200):
        for e in range(epochs):
            loss = self.loss(ctx, tgt)
            d_emb, d_out = self.backward()
            self.emb -= lr * d_emb
            self.out -= lr * d_out
            if e % 50 == 0:
                print(f"[{e:4d}] nll={loss:.4f}")
        return loss


vocab, contexts, targets = build(TEXT)

if __name__ == "__main__":
    model = CBOW(len(vocab), 6, np.random.default_rng(0))
    print("final", model.fit(contexts, targets))
