# Loss goes down a bit and then nothing. Three classes, rows are samples.
import numpy as np

def relu(z):
  return np.maximum(0, z)

def softmax(z):
  e = np.exp(z - np.max(z, axis=0))
  return e / np.sum(e, axis=0)

def init(nx, nh, ny):
  return {"w1": np.random.randn(nx, nh) * 0.5, "b1": np.zeros((1, nh)),
          "w2": np.random.randn(nh, ny) * 0.5, "b2": np.zeros((1, ny))}

def forward(X, net):
  z1 = X.dot(net["w1"]) + net["b1"]
  a1 = relu(z1)
  z2 = a1.dot(net["w2"]) + net["b2"]
  return {"z1": z1, "a1": a1, "a2": softmax(z2)}

def cost(Y, a2, net, reg):
  ce = -np.sum(Y * np.log(a2 + 1e-10)) / Y.shape[0]
  return ce + 0.5 * reg * (np.sum(net["w1"] ** 2) + np.sum(net["w2"] ** 2))

def backward(X, Y, cache, net, reg):
  m = X.shape[0]
  dz2 = (cache["a2"] - Y) / m
  g = {}
  g["w2"] = cache["a1"].T.dot(dz2) + reg * net["w2"]
  g["b2"] = dz2.sum(axis=0, keepdims=True)
  dz1 = dz2.dot(net["w2"].T) * (cache["z1"] > 0)
  g["w1"] = X.T.dot(dz1) + reg * net["w1"]
  g["b1"] = dz1.sum(axis=0, keepdims=True)
  return g

np.random.seed(99)
X = np.concatenate([np.random.randn(30, 2) + c for c in ([0, 2], [2, -1], [-2, -1])])
labels = np.repeat([0, 1, 2], 30)
Y = np.eye(3)[labels]

net = init(2, 10, 3)
velocity = {k: 0 for k in net}
for epoch in range(301):
  cache = forward(X, net)
  grads = backward(X, Y, cache, net, 1e-3)
  for k in net:
    velocity[k] = 0.8 * velocity[k] - 0.01 * grads[k]
    net[k] = net[k] + velocity[k]
  if epoch % 100 == 0:
    acc = np.mean(cache["a2"].argmax(axis=1) == labels)
    print("epoch", epoch, "cost", cost(Y, cache["a2"], net, 1e-3), "accuracy", acc)
