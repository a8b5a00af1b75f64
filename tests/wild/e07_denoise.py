# denoising autoencoder, flat script
import numpy as np
np.random.seed(4)

n_samples, n_in, n_code = 120, 10, 4
basis = np.random.randn(3, n_in)
data = np.random.randn(n_samples, 3) @ basis / 2

We = np.random.randn(n_in, n_code) * np.sqrt(1 / n_in)
be = np.zeros(n_code)
Wd = np.random.randn(n_code, n_in) * np.sqrt(1 / n_code)
bd = np.zeros(n_in)

params = [We, be, Wd, bd]
sq = [np.zeros_like(q) for q in params]
history = []

for epoch in range(60):
    idx = np.random.permutation(n_samples)
    epoch_loss = 0.0
    for start in range(0, n_samples, 30):
        clean = data[idx[start:start + 30]]
        x = clean + 0.5 * np.random.randn(*clean.shape)   # corrupt the input

        code = np.tanh(x @ We + be)
        recon = code @ Wd + bd
        loss = np.mean(np.sum((recon - clean) ** 2, axis=1))
        epoch_loss += loss

        d_recon = 2 * (recon - x) / len(x)
        gWd = code.T @ d_recon
        gbd = d_recon.sum(axis=0)
        d_code = (d_recon @ Wd.T) * (1 - code ** 2)
        gWe = x.T @ d_code
        gbe = d_code.sum(axis=0)

        # rmsprop
        for q, g, s in zip(params, [gWe, gbe, gWd, gbd], sq):
            s *= 0.9
            s += 0.1 * g ** 2
            q -= 0.005 * g / (np.sqrt(s) + 1e-8)

    history.append(epoch_loss / 4)
    if (epoch + 1) % 20 == 0:
        print('epoch', epoch + 1, 'reconstruction loss', history[-1])
