"""Tiny character RNN, trained with adagrad on one short sentence."""
import numpy as np

text = 'the quick brown fox jumps over the lazy dog and the dog sleeps. '
chars = sorted(set(text))
char_to_ix = {c: i for i, c in enumerate(chars)}
vocab_size = len(chars)

hidden_size = 24
seq_length = 10
learning_rate = 1e-1

np.random.seed(3)
Wxh = np.random.randn(hidden_size, vocab_size) * 0.1
Whh = np.random.randn(hidden_size, hidden_size) * 0.1
Why = np.random.randn(vocab_size, hidden_size) * 0.1
bh = np.zeros((hidden_size, 1))
by = np.zeros((vocab_size, 1))


def lossFun(inputs, targets, hprev):
    xs, hs, ps = {}, {}, {}
    hs[-1] = np.copy(hprev)
    loss = 0
    for t in range(len(inputs)):
        xs[t] = np.zeros((vocab_size, 1))
        xs[t][inputs[t]] = 1
        hs[t] = np.tanh(Wxh @ xs[t] + Whh @ hs[t - 1] + bh)
        y = Why @ hs[t] + by
        e = np.exp(y - y.max())
        ps[t] = e / e.sum()
        loss += -np.log(ps[t][targets[t], 0])
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros_like(bh), np.zeros_like(by)
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(len(inputs))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dWhy += dy @ hs[t].T
        dby += dy
        dh = Why.T @ dy + dhnext
        draw = (1 - hs[t] * hs[t]) * dh
        dbh += draw
        dWxh += draw @ xs[t].T
        dWhh += draw @ hs[t - 1].T
        dhnext = Whh.T @ draw
    for d in [dWxh, dWhh, dWhy, dbh, dby]:
        np.clip(d, -1, 1, out=d)  # exploding gradients
    return loss, dWxh, dWhh, dWhy, dbh, dby, hs[len(inputs) - 1]


mem = [np.zeros_like(p) for p in (Wxh, Whh, Why, bh, by)]
smooth_loss = -np.log(1.0 / vocab_size) * seq_length
pos = 0
for n in range(600):
    if pos + seq_length + 1 >= len(text) or n == 0:
        hprev = np.zeros((hidden_size, 1))
        pos = 0
    inputs = [char_to_ix[c] for c in text[pos:pos + seq_length]]
    targets = [char_to_ix[c] for c in text[pos + 1:pos + seq_length + 1]]
    loss, dWxh, dWhh, dWhy, dbh, dby, hprev = lossFun(inputs, targets, hprev)
    smooth_loss = smooth_loss * 0.95 + loss * 0.05
    if n % 100 == 0:
        print('iter %d, loss: %f' % (n, smooth_loss))
    for p, d, m in zip([Wxh, Whh, Why, bh, by], [dWxh, dWhh, dWhy, dbh, dby], mem):
        m += d * d
        p += -learning_rate * d / np.sqrt(m + 1e-8)
    pos += seq_length
