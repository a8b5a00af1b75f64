import numpy as np

SLOPE = 0.1


def lrelu(v):
    return np.where(v > 0, v, SLOPE * v)


def d_lrelu(v):
    return np.where(v > 0, 1.0, SLOPE)


def compute_loss(params, inputs, targets, wd):
    hid1 = lrelu(inputs @ params['w1'] + params['b1'])
    hid2 = lrelu(hid1 @ params['w2'] + params['b2'])
    preds = hid2 @ params['w3'] + params['b3']
    data_term = np.mean(np.square(preds - targets))
    reg_term = sum(np.sum(params[k] ** 2) for k in ('w1', 'w2', 'w3'))
    return data_term + wd * reg_term


def compute_grads(params, inputs, targets, wd):
    pre1 = inputs @ params['w1'] + params['b1']
    hid1 = lrelu(pre1)
    pre2 = hid1 @ params['w2'] + params['b2']
    hid2 = lrelu(pre2)
    preds = hid2 @ params['w3'] + params['b3']

    grads = {}
    delta = 2 * (preds - targets) / targets.size
    grads['w3'] = hid2.T @ delta + 2 * wd * params['w3']
    grads['b3'] = np.sum(delta, axis=0)
    delta = (delta @ params['w3'].T) * d_lrelu(pre2)
    grads['w2'] = hid1.T @ delta + 2 * wd * params['w2']
    grads['b2'] = np.sum(delta, axis=0)
    delta = (delta @ params['w2'].T) * d_lrelu(pre1)
    grads['w1'] = inputs.T @ delta + 2 * wd * params['w1']
    grads['b1'] = np.sum(delta, axis=0)
    return grads


def init_params(rng, n_in, n_a, n_b, n_out):
    return {
        'w1': rng.standard_normal((n_in, n_a)) * np.sqrt(2 / n_in), 'b1': np.zeros(n_a),
        'w2': rng.standard_normal((n_a, n_b)) * np.sqrt(2 / n_a), 'b2': np.zeros(n_b),
        'w3': rng.standard_normal((n_b, n_out)) * np.sqrt(1 / n_b), 'b3': np.zeros(n_out),
    }


def make_data(rng, n=200):
    inputs = rng.uniform(-1, 1, (n, 4))
    targets = np.column_stack([inputs[:, 0] * inputs[:, 1], inputs[:, 2] - inputs[:, 3] ** 2, inputs.sum(axis=1)])
    return inputs, targets


def main():
    rng = np.random.default_rng(77)
    inputs, targets = make_data(rng)
    params = init_params(rng, 4, 20, 10, 3)
    cache = {k: np.zeros_like(v) for k, v in params.items()}
    lr, wd = 0.01, 1e-4
    for epoch in range(1, 61):
        perm = rng.permutation(len(inputs))
        for chunk in np.array_split(perm, 5):
            grads = compute_grads(params, inputs[chunk], targets[chunk], wd)
            for k in params:
                cache[k] = 0.9 * cache[k] + 0.1 * grads[k] ** 2
                params[k] -= lr * grads[k] / (np.sqrt(cache[k]) + 1e-8)
        lr *= 0.97
        if epoch % 10 == 0:
            print(f'epoch {epoch}: {compute_loss(params, inputs, targets, wd):.5f}')


if __name__ == '__main__':
    main()
