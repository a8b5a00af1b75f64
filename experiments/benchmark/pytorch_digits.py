"""Train scikit-learn's digits with PyTorch, as a script would: what `mlp-jax train --data digits` does by default.

The same numbers of examples, the same scaling, 64-128-128-10 ReLU, Adam at 1e-3 falling along half a cosine, batches
of 32, as many epochs, and the validation loss and accuracy after each.
"""


def main() -> None:
    """Train, and print how well it does on data that it has not seen."""
    import math

    import torch
    import torch.nn.functional as F
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from torch import nn

    digits = load_digits()
    x, labels = torch.tensor(digits.data, dtype=torch.float32), torch.tensor(digits.target)
    rest, test = train_test_split(torch.arange(len(x)), test_size=359, random_state=0)
    train, validation = train_test_split(rest, test_size=179, random_state=0)
    mean, scale = x[train].mean(), x[train].std()
    x = (x - mean) / scale

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    steps = math.ceil(len(train) / 32)
    epochs = max(10, math.ceil(2000 / steps))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs * steps)

    def measure(part: torch.Tensor) -> tuple[float, float]:
        with torch.no_grad():
            logits = model(x[part])
            accuracy = (logits.argmax(dim=1) == labels[part]).float().mean()
            return F.cross_entropy(logits, labels[part]).item(), accuracy.item()

    for _ in range(epochs):
        for batch in train[torch.randperm(len(train))].split(32):
            optimizer.zero_grad()
            F.cross_entropy(model(x[batch]), labels[batch]).backward()
            optimizer.step()
            schedule.step()
        measure(validation)
    for name, part in (("train", train), ("validation", validation), ("test", test)):
        loss, accuracy = measure(part)
        print(f"{name} loss {loss:.4f}\n{name} accuracy {100 * accuracy:.2f} %")


if __name__ == "__main__":
    main()
