# bars vs. columns: a 3x3 convolution written with loops
import numpy as np


def make_images(n, rng):
    imgs = 0.3 * rng.standard_normal((n, 8, 8))
    lab = np.zeros(n)
    for i in range(n):
        k = rng.integers(1, 7)
        if rng.random() < 0.5:
            imgs[i, k, :] += 1.0
        else:
            imgs[i, :, k] += 1.0
            lab[i] = 1
    return imgs, lab


def conv_forward(img, kern, bias):
    F = kern.shape[0]
    out = np.zeros((img.shape[0], F, 6, 6))
    for r in range(6):
        for c in range(6):
            patch = img[:, r:r + 3, c:c + 3]
            out[:, :, r, c] = np.tensordot(patch, kern, axes=([1, 2], [1, 2])) + bias
    return out


def conv_backward(img, dout):
    F = dout.shape[1]
    dkern = np.zeros((F, 3, 3))
    for r in range(6):
        for c in range(6):
            patch = img[:, r:r + 3, c:c + 3]
            dkern += np.tensordot(dout[:, :, r, c], patch, axes=([0], [0]))
    return dkern, dout.sum(axis=(0, 2, 3))


def avg_pool(a):
    return a.reshape(a.shape[0], a.shape[1], 3, 2, 3, 2).mean(axis=(3, 5))


def avg_unpool(dp):
    return np.repeat(np.repeat(dp, 2, axis=2), 2, axis=3) / 4.0


def model(P, img, lab):
    kern, kb, w, b = P
    n = len(lab)
    z = conv_forward(img, kern, kb)
    a = np.maximum(0, z)
    pooled = avg_pool(a)
    flat = pooled.reshape(n, -1)
    prob = 1 / (1 + np.exp(-(flat @ w + b)))
    loss = -np.mean(lab * np.log(prob) + (1 - lab) * np.log(1 - prob))

    dlogit = (prob - lab) / n
    dw = flat.T @ dlogit
    db = np.array([dlogit.sum()])
    dpool = np.outer(dlogit, w).reshape(pooled.shape)
    dz = avg_unpool(dpool) * (z > 0)
    dkern, dkb = conv_backward(img, dz)
    return loss, [dkern, dkb, dw, db]


def start(rng):
    return [0.4 * rng.standard_normal((4, 3, 3)), np.zeros(4),
            0.3 * rng.standard_normal(36), np.zeros(1)]


def main():
    rng = np.random.default_rng(11)
    img, lab = make_images(60, rng)
    P = start(rng)
    for it in range(200):
        loss, G = model(P, img, lab)
        P = [p - 0.5 * g for p, g in zip(P, G)]
        if it % 40 == 0:
            print("iteration", it, "loss", loss)
    print("last loss", loss)


main()
