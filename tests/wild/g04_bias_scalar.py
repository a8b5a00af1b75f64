"""Assignment 2 - simple MLP with numpy. Regression of a sine."""
import numpy as np

np.random.seed(123)

x_train = np.linspace(-2, 2, 50).reshape(-1, 1)
y_train = np.sin(2 * x_train)


def tanh_deriv(a):
    return 1 - a ** 2


def mse(pred, true):
    return np.mean((pred - true) ** 2)


# parameters
w1 = np.random.uniform(-1, 1, (1, 16))
bias1 = np.random.uniform(-1, 1, (16,))
w2 = np.random.uniform(-1, 1, (16, 1)) / 4
bias2 = np.zeros((1,))

learning_rate = 0.05
losses = []

for epoch in range(150):
    # ---- forward ----
    h_in = np.matmul(x_train, w1) + bias1
    h_out = np.tanh(h_in)
    pred = np.matmul(h_out, w2) + bias2

    loss = mse(pred, y_train)
    losses.append(loss)

    # ---- backward ----
    grad_pred = 2 * (pred - y_train) / len(x_train)
    grad_w2 = np.matmul(h_out.T, grad_pred)
    grad_bias2 = np.sum(grad_pred, axis=0)

    grad_h_out = np.matmul(grad_pred, w2.T)
    grad_h_in = grad_h_out * tanh_deriv(h_out)
    grad_w1 = np.matmul(x_train.T, grad_h_in)
    grad_bias1 = np.sum(grad_h_in)

    # ---- update ----
    w1 -= learning_rate * grad_w1
    bias1 -= learning_rate * grad_bias1
    w2 -= learning_rate * grad_w2
    bias2 -= learning_rate * grad_bias2

print("first loss", losses[0], "last loss", losses[-1])
