import numpy as np

# Elman network, many to one at every step: running mean of the inputs
class ElmanRNN:
    def __init__(self, nIn, nHid, nOut):
        self.U = np.random.uniform(-0.5, 0.5, (nIn, nHid))
        self.W = np.random.uniform(-0.5, 0.5, (nHid, nHid))
        self.V = np.random.uniform(-0.5, 0.5, (nHid, nOut))
        self.bs = np.zeros(nHid)
        self.bo = np.zeros(nOut)

    def forward(self, X):
        # X: batch, time, nIn
        B, T, _ = X.shape
        self.X = X
        self.S = np.zeros((B, T + 1, self.W.shape[0]))
        for t in range(T):
            self.S[:, t] = np.tanh(X[:, t] @ self.U + self.S[:, t - 1] @ self.W + self.bs)
        return self.S[:, :T] @ self.V + self.bo

    def loss(self, O, Y):
        return 0.5 * np.sum((O - Y) ** 2) / len(Y)

    def bptt(self, O, Y):
        B, T, _ = self.X.shape
        dU, dW, dV = np.zeros_like(self.U), np.zeros_like(self.W), np.zeros_like(self.V)
        dbs, dbo = np.zeros_like(self.bs), np.zeros_like(self.bo)
        dO = (O - Y) / B
        for t in range(T - 1, -1, -1):
            dS_next = np.zeros_like(self.S[:, 0])
            dV += self.S[:, t].T @ dO[:, t]
            dbo += dO[:, t].sum(axis=0)
            dS = dO[:, t] @ self.V.T + dS_next
            dA = dS * (1 - self.S[:, t] ** 2)
            dU += self.X[:, t].T @ dA
            dW += self.S[:, t - 1].T @ dA
            dbs += dA.sum(axis=0)
            dS_next = dA @ self.W.T
        return [dU, dW, dV, dbs, dbo]


np.random.seed(8)
X = np.random.randn(60, 7, 2)
Y = np.cumsum(X, axis=1)[:, :, :1] / np.arange(1, 8)[None, :, None]
Xval, Yval = X[48:], Y[48:]
X, Y = X[:48], Y[:48]

rnn = ElmanRNN(2, 9, 1)
for epoch in range(151):
    perm = np.random.permutation(48)
    for k in range(0, 48, 16):
        xb, yb = X[perm[k:k + 16]], Y[perm[k:k + 16]]
        O = rnn.forward(xb)
        grads = rnn.bptt(O, yb)
        for P, G in zip([rnn.U, rnn.W, rnn.V, rnn.bs, rnn.bo], grads):
            P -= 0.05 * np.clip(G, -5, 5)
    if epoch % 50 == 0:
        print("epoch %d train %.4f val %.4f" % (epoch, rnn.loss(rnn.forward(X), Y), rnn.loss(rnn.forward(Xval), Yval)))
