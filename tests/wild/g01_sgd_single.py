import numpy as np
import math

rng = np.random.default_rng(31)
data = [(rng.normal(size=3), None) for _ in range(15)]
data = [(x, 1.0 if x[0] + x[1] * x[2] > 0 else 0.0) for x, _ in data]

W = rng.normal(size=(5, 3)) * 0.6   # hidden x input
c = np.zeros(5)
v = rng.normal(size=5) * 0.6        # output weights
d = 0.0

lr = 0.2
for epoch in range(15):
    total_loss = 0
    for x, t in data:
        # forward
        s = W @ x + c
        h = np.tanh(s)
        o = float(v @ h + d)
        yhat = 1 / (1 + math.exp(-o))
        loss = -(t * math.log(yhat) + (1 - t) * math.log(1 - yhat))
        total_loss += loss

        # backward
        do = yhat - t
        dv = do * h
        dd = do
        ds = do * v * (1 - h * h)
        dW = np.outer(ds, x)
        dc = ds

        # update
        W = W - lr * dW
        c = c - lr * dc
        v = v - lr * dv
        d = d - lr * dd
    if epoch % 5 == 0:
        print("epoch", epoch, "mean loss", total_loss / len(data))
