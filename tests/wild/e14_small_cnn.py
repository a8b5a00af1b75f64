# Bars: horizontal / vertical / diagonal. conv 3x3 -> relu -> max pool 2x2 -> fully connected -> softmax
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

rs = np.random.RandomState(7)


def make_images(n):
    imgs = 0.2 * rs.randn(n, 8, 8)
    lab = rs.randint(0, 3, n)
    for im, l in zip(imgs, lab):
        k = rs.randint(1, 7)
        if l == 0:
            im[k, :] += 1
        elif l == 1:
            im[:, k] += 1
        else:
            im[np.arange(8), np.arange(8)] += 1
    return imgs, lab


def conv(imgs, K, bK):
    win = sliding_window_view(imgs, (3, 3), axis=(1, 2))        # n,6,6,3,3
    return np.einsum('nijab,fab->nfij', win, K) + bK[None, :, None, None], win


def cnn_cost(p, imgs, lab):
    n = len(imgs)
    z, win = conv(imgs, p['K'], p['bK'])
    a = np.maximum(z, 0)
    f = a.shape[1]
    blocks = a.reshape(n, f, 3, 2, 3, 2).transpose(0, 1, 2, 4, 3, 5).reshape(n, f, 3, 3, 4)
    who = blocks.argmax(axis=-1)
    pooled = np.take_along_axis(blocks, who[..., None], -1)[..., 0]
    flat = pooled.reshape(n, -1)
    s = flat @ p['V'] + p['bV']
    s = s - s.max(1, keepdims=True)
    q = np.exp(s) / np.exp(s).sum(1, keepdims=True)
    cost = -np.log(q[np.arange(n), lab]).sum() / n

    ds = q
    ds[np.arange(n), lab] -= 1
    ds /= n
    g = {'V': flat.T @ ds, 'bV': ds.sum(0)}
    dpool = (ds @ p['V'].T).reshape(pooled.shape)
    dblocks = np.zeros_like(blocks)
    np.put_along_axis(dblocks, who[..., None], dpool[..., None], -1)
    da = dblocks.reshape(n, f, 3, 3, 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(a.shape)
    dz = da * (z > 0)
    g['K'] = np.einsum('nfij,nijab->fab', dz, win)
    g['bK'] = dz.sum(axis=(0, 2, 3))
    return cost, g


params = {'K': 0.3 * rs.randn(4, 3, 3), 'bK': np.zeros(4),
          'V': 0.2 * rs.randn(36, 3), 'bV': np.zeros(3)}
speed = {k: np.zeros_like(v) for k, v in params.items()}
imgs, lab = make_images(150)

for it in range(120):
    pick = rs.choice(150, 25, replace=False)
    cost, grads = cnn_cost(params, imgs[pick], lab[pick])
    for k in params:
        speed[k] = 0.9 * speed[k] - 0.05 * grads[k]
        params[k] = params[k] + speed[k]
    if it % 20 == 0:
        print('iteration', it, 'batch cost', round(cost, 4))
