"""Our estimators next to scikit-learn's network and its gradient boosting: score, seconds and memory.

`python tests/estimators.py` writes tests/estimators.json in a few minutes, which `test_sklearn.py` reads. Each model is
fitted on ten splits of each table, in a process of its own, so that its seconds hold all compiling, and its memory is
its own. Both networks have scikit-learn's defaults, standardised columns, and standardised targets.
"""

import json
import os
import resource
import subprocess
import sys
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas
from sklearn import datasets, ensemble, neural_network
from sklearn.compose import TransformedTargetRegressor, make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import mlp_jax.sklearn as ours

ENVIRONMENT = os.environ | {"OMP_WAIT_POLICY": "passive"}  # else boosting's threads wait for shared cores in a loop
RECORD = Path(__file__).with_suffix(".json")


def mixed(kind, seed=0):
    """A table of numbers and texts, a tenth of them missing, and a label or a value that depends on both."""
    rng, n = np.random.default_rng(seed), 2000
    numbers = pandas.DataFrame(rng.normal(size=(n, 6)), columns=[f"n{i}" for i in range(6)])
    texts = pandas.DataFrame({f"t{i}": rng.choice([*"abcdef"], size=n) for i in range(3)})
    effect = texts["t0"].map(dict(zip("abcdef", rng.normal(size=6), strict=True)))
    value = numbers["n0"] * numbers["n1"] + np.sin(2 * numbers["n2"]) + 1.5 * effect + 0.3 * rng.normal(size=n)
    table = pandas.concat([numbers, texts], axis=1)
    table = table.mask(rng.random(table.shape) < 0.1)
    return table, (value > value.median()).astype(int) if kind == "Classifier" else 100 + 20 * value


def blobs(rows):
    """A table of 20 numbers whose classes have eight clusters each."""
    return datasets.make_classification(rows, 20, n_informative=15, n_clusters_per_class=8, random_state=0)


TABLES = {  # the estimator, how to load the table, and the settings of both networks that are not the default
    "iris": ("Classifier", partial(datasets.load_iris, return_X_y=True), {}),
    "wine": ("Classifier", partial(datasets.load_wine, return_X_y=True), {}),
    "breast cancer": ("Classifier", partial(datasets.load_breast_cancer, return_X_y=True), {}),
    "digits": ("Classifier", partial(datasets.load_digits, return_X_y=True), {}),
    "diabetes": ("Regressor", partial(datasets.load_diabetes, return_X_y=True), {}),
    "mixed, classes": ("Classifier", partial(mixed, "Classifier"), {}),
    "mixed, values": ("Regressor", partial(mixed, "Regressor"), {}),
    "10,000 rows": ("Classifier", partial(blobs, 12_500), {"hidden_layer_sizes": (128, 128), "max_iter": 20}),
    "200,000 rows": ("Classifier", partial(blobs, 250_000), {"hidden_layer_sizes": (128, 128), "max_iter": 4}),
}
REALMLP = {"Classifier": ours.REALMLP_CLASSIFIER, "Regressor": ours.REALMLP_REGRESSOR}
MODELS = (
    "ours",
    "ours, five with early stopping",
    "ours, RealMLP's settings",
    "scikit-learn's network",
    "scikit-learn's boosting",
)
SPLITS = {"200,000 rows": 3}  # of others ten


def model_of(name, kind, settings, seed):
    """An estimator of a kind that takes numbers."""
    if name == "ours":
        return getattr(ours, f"MLP{kind}")(random_state=seed, **settings)
    if name.startswith("ours"):
        more = REALMLP[kind] if "RealMLP" in name else {"early_stopping": True, "n_ensemble": 5}
        return getattr(ours, f"MLP{kind}")(random_state=seed, **more | settings)
    if name == "scikit-learn's boosting":
        return getattr(ensemble, f"HistGradientBoosting{kind}")(random_state=seed)
    network = getattr(neural_network, f"MLP{kind}")(random_state=seed, **settings)
    if kind == "Regressor":
        network = TransformedTargetRegressor(network, transformer=StandardScaler())
    return make_pipeline(StandardScaler(), network)


def prepared(table, model):
    """A pipeline that makes numbers of texts and missing values first, if there are any."""
    if not isinstance(table, pandas.DataFrame):
        return model
    texts = make_column_selector(dtype_include=["object", "string"])
    numbers = make_column_selector(dtype_include="number")
    fill = SimpleImputer(strategy="median", add_indicator=True)
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return make_pipeline(make_column_transformer((fill, numbers), (one_hot, texts)), model)


def measured(table, name):
    """Scores of the splits, seconds and peak memory of a model on a table."""
    kind, load, settings = TABLES[table]
    x, y = load()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, scores = time.perf_counter(), []
    splits = ShuffleSplit(SPLITS.get(table, 10), test_size=0.2, random_state=0).split(x)
    for seed, (train, test) in enumerate(splits):
        rows = x.iloc if isinstance(x, pandas.DataFrame) else x
        model = prepared(x, model_of(name, kind, settings, seed)).fit(rows[train], np.asarray(y)[train])
        scores.append(model.score(rows[test], np.asarray(y)[test]))
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"scores": scores, "seconds": round(seconds, 2), "megabytes": (peak - before) // 1024}


def main():
    """Measure one pair, if it is named, and else all of them, one after another."""
    if len(sys.argv) == 3:
        warnings.simplefilter("ignore")
        print(json.dumps(measured(*sys.argv[1:])))
        return
    record = {}
    for table in TABLES:
        for name in MODELS:
            command = [sys.executable, __file__, table, name]
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=ENVIRONMENT)
            record[f"{table}: {name}"] = of = json.loads(done.stdout)
            mean, error = np.mean(of["scores"]), np.std(of["scores"], ddof=1) / np.sqrt(len(of["scores"]))
            print(f"{table}: {name}: {mean:.4f} ± {2 * error:.4f}, {of['seconds']} s, {of['megabytes']} MB", flush=True)
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
