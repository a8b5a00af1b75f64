import numpy as np

np.random.seed(6)
num_classes = 3
X = np.random.randn(36, 5)
y = np.random.randint(0, num_classes, 36)

params = {
    'W1': np.random.randn(5, 11) * 0.4,
    'b1': np.random.randn(11) * 0.1,
    'W2': np.random.randn(11, 7) * 0.4,
    'b2': np.random.randn(7) * 0.1,
    'W3': np.random.randn(7, num_classes) * 0.4,
    'b3': np.zeros(num_classes),
}


def affine_forward(x, w, b):
    return x.dot(w) + b, (x, w, b)


def affine_backward(dout, cache):
    x, w, b = cache
    return dout.dot(w.T), x.T.dot(dout), dout.sum(axis=0)


def relu_forward(x):
    out = np.maximum(0, x)
    return out, out


def relu_backward(dout, cache):
    x = cache
    dx = dout.copy()
    dx[x < 0] = 0
    return dx


def softmax_loss(x, y):
    p = np.exp(x - np.max(x, axis=1, keepdims=True))
    p /= np.sum(p, axis=1, keepdims=True)
    N = x.shape[0]
    loss = -np.sum(np.log(p[np.arange(N), y])) / N
    dx = p.copy()
    dx[np.arange(N), y] -= 1
    return loss, dx / N


for it in range(60):
    o1, c1 = affine_forward(X, params['W1'], params['b1'])
    r1, m1 = relu_forward(o1)
    o2, c2 = affine_forward(r1, params['W2'], params['b2'])
    r2, m2 = relu_forward(o2)
    scores, c3 = affine_forward(r2, params['W3'], params['b3'])
    loss, dout = softmax_loss(scores, y)

    grads = {}
    dout, grads['W3'], grads['b3'] = affine_backward(dout, c3)
    dout = relu_backward(dout, m2)
    dout, grads['W2'], grads['b2'] = affine_backward(dout, c2)
    dout = relu_backward(dout, m1)
    dout, grads['W1'], grads['b1'] = affine_backward(dout, c1)

    for k in params:
        params[k] -= 0.1 * grads[k]
    if it % 20 == 0:
        print(it, loss)
