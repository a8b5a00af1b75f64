# No numpy! Learns the price of a house from (size, age), one house at a time.
import math
import random

random.seed(8)

NH = 4

houses = []
for _ in range(40):
    size = random.uniform(-1.5, 1.5)
    age = random.uniform(-1.5, 1.5)
    price = 1.2 * size - 0.7 * age + 0.5 * size * age + 0.4
    houses.append(((size, age), price))

w_hid = [[random.uniform(-1, 1) for _ in range(2)] for _ in range(NH)]
b_hid = [0.0] * NH
w_out = [random.uniform(-1, 1) for _ in range(NH)]
b_out = [0.0]


def run(inputs):
    hidden = []
    for i in range(NH):
        s = b_hid[i]
        for j in range(2):
            s += w_hid[i][j] * inputs[j]
        hidden.append(math.tanh(s))
    out = b_out[0]
    for i in range(NH):
        out += w_out[i] * hidden[i]
    return hidden, out


def error(inputs, target):
    _, out = run(inputs)
    return 0.5 * (out - target) ** 2


def learn(inputs, target, rate):
    hidden, out = run(inputs)
    d_out = out - target

    # output neuron
    for i in range(NH):
        w_out[i] -= rate * d_out * hidden[i]
    b_out[0] -= rate * d_out

    # hidden neurons
    for i in range(NH):
        d_hid = d_out * w_out[i] * (1 - hidden[i] ** 2)
        for j in range(2):
            w_hid[i][j] -= rate * d_hid * inputs[j]
        b_hid[i] -= rate * d_hid


def main():
    for epoch in range(100):
        random.shuffle(houses)
        total = 0.0
        for inputs, target in houses:
            total += error(inputs, target)
            learn(inputs, target, 0.1)
        if epoch % 20 == 0:
            print("epoch %d average error %.5f" % (epoch, total / len(houses)))
    print("last average error %.5f" % (total / len(houses)))


if __name__ == "__main__":
    main()
