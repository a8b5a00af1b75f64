import numpy as np

class FCLayer:
    def __init__(self, input_size, output_size):
        self.weights = np.random.randn(input_size, output_size) / np.sqrt(input_size)
        self.bias = np.zeros((1, output_size))

    def forward_propagation(self, input_data):
        self.input = input_data
        return np.dot(self.input, self.weights) + self.bias

    def backward_propagation(self, output_error, learning_rate):
        weights_error = np.dot(self.input.T, output_error)
        self.weights -= learning_rate * weights_error
        self.bias -= learning_rate * output_error.sum(axis=0, keepdims=True)
        return np.dot(output_error, self.weights.T)

class ActivationLayer:
    def __init__(self, activation, activation_prime):
        self.activation = activation
        self.activation_prime = activation_prime

    def forward_propagation(self, input_data):
        self.input = input_data
        return self.activation(self.input)

    def backward_propagation(self, output_error, learning_rate):
        return self.activation_prime(self.input) * output_error

def tanh_prime(x):
    return 1 - np.tanh(x) ** 2

def mse(y_true, y_pred):
    return np.mean(np.power(y_true - y_pred, 2))

def mse_prime(y_true, y_pred):
    return 2 * (y_pred - y_true) / y_true.size

class Network:
    def __init__(self):
        self.layers = []

    def add(self, layer):
        self.layers.append(layer)

    def predict(self, output):
        for layer in self.layers:
            output = layer.forward_propagation(output)
        return output

    def fit(self, x_train, y_train, epochs, learning_rate):
        for i in range(epochs):
            output = self.predict(x_train)
            err = mse(y_train, output)
            error = mse_prime(y_train, output)
            for layer in reversed(self.layers):
                error = layer.backward_propagation(error, learning_rate)
            if i % 50 == 0:
                print('epoch %d/%d   error=%f' % (i, epochs, err))

np.random.seed(13)
houses = np.random.randn(60, 5)
price = (houses @ np.array([[1.0], [0.5], [-0.7], [0.2], [0.0]])) ** 2 / 2 + 1

net = Network()
for n_in, n_out in [(5, 12), (12, 8)]:
    net.add(FCLayer(n_in, n_out))
    net.add(ActivationLayer(np.tanh, tanh_prime))
net.add(FCLayer(8, 1))
net.fit(houses, price, epochs=250, learning_rate=0.1)
