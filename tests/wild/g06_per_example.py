# Homework 3: backpropagation, one training example at a time
import numpy as np

rng = np.random.RandomState(42)
inputs = rng.uniform(-1, 1, (20, 3))
targets = np.stack([inputs[:, 0] * inputs[:, 1], np.sin(inputs[:, 2])], axis=1)

n_hidden = 6
w_ih = rng.normal(0, 0.7, (n_hidden, 3))
b_h = np.zeros(n_hidden)
w_ho = rng.normal(0, 0.7, (2, n_hidden))
b_o = np.zeros(2)


def sig(v):
    return 1 / (1 + np.exp(-v))


eta = 0.1
for epoch in range(30):
    total = 0.0
    g_ih = np.zeros_like(w_ih)
    g_bh = np.zeros_like(b_h)
    g_ho = np.zeros_like(w_ho)
    g_bo = np.zeros_like(b_o)
    for n in range(len(inputs)):
        xi = inputs[n]
        ti = targets[n]
        hidden = sig(w_ih @ xi + b_h)
        out = w_ho @ hidden + b_o
        total += 0.5 * np.sum((out - ti) ** 2)

        delta_o = out - ti
        delta_h = w_ho.T @ delta_o

        g_ho += np.outer(delta_o, hidden)
        g_bo += delta_o
        g_ih += np.outer(delta_h, xi)
        g_bh += delta_h

    N = len(inputs)
    total = total / N
    w_ih -= eta * g_ih / N
    b_h -= eta * g_bh / N
    w_ho -= eta * g_ho / N
    b_o -= eta * g_bo / N
    if epoch % 10 == 0:
        print(epoch, total)
