# fit a noisy sine with one hidden layer, everything by hand. the loss goes down very slowly, is my backward pass ok?
import numpy as np
np.random.seed(42)

N = 80
x = np.random.uniform(-3, 3, (N, 1))
y = np.sin(x) + 0.1*np.random.randn(N, 1)

H = 20
W1 = np.random.randn(1, H)
b1 = np.random.randn(1, H)*0.1
W2 = np.random.randn(H, 1)/np.sqrt(H)
b2 = np.zeros((1, 1))

vW1 = np.zeros_like(W1); vb1 = np.zeros_like(b1)
vW2 = np.zeros_like(W2); vb2 = np.zeros_like(b2)
lr0 = 0.05
mu = 0.9

for epoch in range(1001):
    lr = lr0/(1 + 0.001*epoch)

    # forward
    h = np.tanh(x @ W1 + b1)
    yhat = h @ W2 + b2
    err = yhat - y
    mse = np.mean(err**2)

    # backward
    dyhat = 2*err/N
    dW2 = h.T @ dyhat
    db2 = dyhat.sum(0, keepdims=True)
    dh = dyhat @ W2.T
    dz = dh*(1 - h**2)
    dW1 = x.T @ dz
    db1 = dz.sum(0, keepdims=True)

    # momentum
    vW1 = mu*vW1 - lr*dW1; W1 = W1 + vW1
    vb1 = mu*vb1 - lr*db1; b1 = b1 + vb1
    vW2 = mu*vW2 - lr*dW2; W2 = W2 + vW2
    vb2 = mu*vb2 - lr*db2; b2 = b2 + vb2

    if epoch % 200 == 0:
        print(f"epoch {epoch:5d}   lr {lr:.4f}   mse {mse:.5f}")
