import numpy as np


class LinearSVM(object):
    """ Multiclass SVM (Weston-Watkins hinge), trained with minibatch SGD """

    def __init__(self):
        self.W = None
        self.b = None

    def fit(self, X, y, learning_rate=0.05, reg=1e-2, num_iters=300, batch_size=50, verbose=True):
        num_train, dim = X.shape
        num_classes = np.max(y) + 1
        if self.W is None:
            self.W = 0.1 * np.random.randn(dim, num_classes)
            self.b = np.zeros(num_classes)
        loss_history = []
        for it in range(num_iters):
            batch = np.random.choice(num_train, batch_size, replace=True)
            loss, dW, db = self.loss(X[batch], y[batch], reg)
            loss_history.append(loss)
            self.W -= learning_rate * dW
            self.b -= learning_rate * db
            if verbose and it % 100 == 0:
                print('iteration %d / %d: loss %f' % (it, num_iters, loss))
        return loss_history

    def predict(self, X):
        return np.argmax(X.dot(self.W) + self.b, axis=1)

    def loss(self, X_batch, y_batch, reg):
        N = X_batch.shape[0]
        scores = X_batch.dot(self.W) + self.b
        correct = scores[np.arange(N), y_batch][:, None]
        margins = np.maximum(0, scores - correct + 1.0)
        margins[np.arange(N), y_batch] = 0
        loss = margins.sum() / N + 0.5 * reg * np.sum(self.W * self.W)

        mask = (margins > 0).astype(float)
        mask[np.arange(N), y_batch] = -mask.sum(axis=1)
        dW = X_batch.T.dot(mask) / N + reg * self.W
        db = mask.sum(axis=0) / N
        return loss, dW, db


def get_data():
    mu = np.random.randn(4, 6) * 1.5
    y = np.random.randint(0, 4, 200)
    X = mu[y] + np.random.randn(200, 6)
    return X, y


if __name__ == '__main__':
    np.random.seed(231)
    X, y = get_data()
    svm = LinearSVM()
    hist = svm.fit(X, y)
    print('last loss', hist[-1], 'train accuracy', np.mean(svm.predict(X) == y))
