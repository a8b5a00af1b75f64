# my network gets stuck, what am I doing wrong?
import numpy as np

def sigmoid(x):
    return 1/(1+np.exp(-x))

def sigmoid_derivative(x):
    return sigmoid(x)*(1-sigmoid(x))

np.random.seed(1)
inputs = np.array([[0,0],[0,1],[1,0],[1,1]])
outputs = np.array([[0],[1],[1],[0]])

weights0 = 2*np.random.random((2,4)) - 1
bias0 = 2*np.random.random((1,4)) - 1
weights1 = 2*np.random.random((4,1)) - 1
bias1 = 2*np.random.random((1,1)) - 1

learning_rate = 0.5

for j in range(10000):
    # feed forward
    layer1 = sigmoid(np.dot(inputs, weights0) + bias0)
    layer2 = sigmoid(np.dot(layer1, weights1) + bias1)

    error = outputs - layer2
    loss = 0.5*np.sum(error**2)
    if j % 2000 == 0:
        print("Loss:", loss)

    # back propagation
    delta2 = error*sigmoid_derivative(layer2)
    delta1 = np.dot(delta2, weights1.T)*sigmoid_derivative(layer1)

    weights1 += learning_rate*np.dot(layer1.T, delta2)
    bias1 += learning_rate*np.sum(delta2, axis=0, keepdims=True)
    weights0 += learning_rate*np.dot(inputs.T, delta1)
    bias0 += learning_rate*np.sum(delta1, axis=0, keepdims=True)

print(layer2)
