# autoencoder w/ tied weights, 10 -> 3 -> 10
# no functions, just run it top to bottom
import numpy as np

rs = np.random.RandomState(5)
N, D, K = 100, 10, 3

codes = rs.rand(N, K)
mix = rs.randn(K, D)
data = codes.dot(mix) + 0.02 * rs.randn(N, D)
data = (data - data.mean(0)) / data.std(0)

W = rs.randn(D, K) * 0.3
b_enc = np.zeros(K)
b_dec = np.zeros(D)

lr = 1.0
best = np.inf
bad = 0
step = 0
while step < 1500:
    # encode
    hid = 1 / (1 + np.exp(-(data.dot(W) + b_enc)))
    # decode with the same matrix
    rec = hid.dot(W.T) + b_dec
    diff = rec - data
    loss = (diff ** 2).mean()

    g_rec = 2 * diff / diff.size
    g_hid = g_rec.dot(W)
    g_pre = g_hid * hid * (1 - hid)

    gW = data.T.dot(g_pre) + g_rec.T.dot(hid)
    gb_dec = g_rec.sum(0)
    gb_enc = g_pre.sum(0)

    W -= lr * gW
    b_enc -= lr * gb_enc
    b_dec -= lr * gb_dec

    if loss < best - 1e-6:
        best = loss
        bad = 0
    else:
        bad += 1
    if bad > 20:
        print("stopping early at", step)
        break
    if step % 100 == 0:
        print("step", step, "reconstruction", loss)
    step += 1
print("done, reconstruction", loss)
