"""CBOW with a full softmax on a made-up corpus."""
import numpy as np

rng = np.random.RandomState(0)
n_words, n_dim, win = 15, 8, 2

# words follow one another in a noisy circle
seq = [0]
for _ in range(400):
    seq.append((seq[-1] + rng.choice([1, 1, 1, 2, 5])) % n_words)
seq = np.array(seq)

contexts = np.array([np.r_[seq[i - win:i], seq[i + 1:i + 1 + win]] for i in range(win, len(seq) - win)])
targets = seq[win:len(seq) - win]

emb = rng.normal(scale=0.3, size=(n_words, n_dim))
out = rng.normal(scale=0.3, size=(n_dim, n_words))
bias = np.zeros(n_words)


def loss_fn(emb, out, bias, ctx, tgt):
    mean_vec = emb[ctx].mean(axis=1)
    scores = mean_vec @ out + bias
    scores -= scores.max(axis=1, keepdims=True)
    probs = np.exp(scores)
    probs /= probs.sum(axis=1, keepdims=True)
    return -np.mean(np.log(probs[np.arange(len(tgt)), tgt])), probs, mean_vec


def grad_fn(emb, out, bias, ctx, tgt):
    loss, probs, mean_vec = loss_fn(emb, out, bias, ctx, tgt)
    B, C = ctx.shape
    err = probs
    err[np.arange(B), tgt] -= 1
    err /= B
    d_out = mean_vec.T @ err
    d_bias = err.sum(0)
    d_mean = err @ out.T / C
    d_emb = np.zeros_like(emb)
    for c in range(C):
        d_emb[ctx[:, c]] += d_mean
    return loss, d_emb, d_out, d_bias


lr = 1.0
for epoch in range(20):
    order = rng.permutation(len(targets))
    running = []
    for s in range(0, len(order), 32):
        b = order[s:s + 32]
        loss, d_emb, d_out, d_bias = grad_fn(emb, out, bias, contexts[b], targets[b])
        running.append(loss)
        emb -= lr * d_emb
        out -= lr * d_out
        bias -= lr * d_bias
    if epoch % 5 == 0:
        print('epoch', epoch, 'loss', np.mean(running))
