import numpy as np
import copy

# Week 3 style: examples are columns. X is (n_x, m), Y is (1, m)


class ShallowNet:
    def __init__(self, n_x, n_h, n_y, learning_rate=0.8, seed=2):
        np.random.seed(seed)
        self.parameters = {
            "W1": np.random.randn(n_h, n_x) * 0.4,
            "b1": np.zeros((n_h, 1)),
            "W2": np.random.randn(n_y, n_h) * 0.4,
            "b2": np.zeros((n_y, 1)),
        }
        self.lr = learning_rate

    def forward_propagation(self, X):
        p = self.parameters
        Z1 = np.dot(p["W1"], X) + p["b1"]
        A1 = np.tanh(Z1)
        Z2 = np.dot(p["W2"], A1) + p["b2"]
        A2 = 1.0 / (1.0 + np.exp(-Z2))
        return A2, {"Z1": Z1, "A1": A1, "Z2": Z2, "A2": A2}

    def compute_cost(self, A2, Y):
        m = Y.shape[1]
        logprobs = np.multiply(np.log(A2), Y) + np.multiply(np.log(1 - A2), 1 - Y)
        return float(np.squeeze(-np.sum(logprobs) / m))

    def backward_propagation(self, cache, X, Y):
        m = X.shape[1]
        W2 = self.parameters["W2"]
        A1, A2 = cache["A1"], cache["A2"]
        dZ2 = A2 - Y
        dW2 = np.dot(dZ2, A1.T) / m
        db2 = np.sum(dZ2, axis=1, keepdims=True) / m
        dZ1 = np.dot(W2.T, dZ2) * (1 - np.power(A1, 2))
        dW1 = np.dot(dZ1, X.T) / m
        db1 = np.sum(dZ1, keepdims=True) / m
        return {"dW1": dW1, "db1": db1, "dW2": dW2, "db2": db2}

    def update_parameters(self, grads):
        parameters = copy.deepcopy(self.parameters)
        for name in parameters:
            parameters[name] = parameters[name] - self.lr * grads["d" + name]
        self.parameters = parameters

    def fit(self, X, Y, num_iterations=1000, print_cost=True):
        for i in range(num_iterations):
            A2, cache = self.forward_propagation(X)
            cost = self.compute_cost(A2, Y)
            grads = self.backward_propagation(cache, X, Y)
            self.update_parameters(grads)
            if print_cost and i % 100 == 0:
                print("Cost after iteration %i: %f" % (i, cost))
        return self


def load_planar(m=120):
    rng = np.random.RandomState(1)
    X = rng.uniform(-2, 2, size=(2, m))
    Y = (X[0:1] ** 2 + X[1:2] ** 2 < 2.0).astype(float)
    return X, Y


if __name__ == "__main__":
    X, Y = load_planar()
    net = ShallowNet(2, 6, 1)
    net.fit(X, Y)
