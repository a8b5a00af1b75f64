"""Data: digits, MNIST, MNIST-1D, the user's own tables and NPZ files, and trained networks on disk."""

from mlp_jax.datasets._columns import Column as Column
from mlp_jax.datasets._labels import class_names as class_names
from mlp_jax.datasets._labels import encode_labels as encode_labels
from mlp_jax.datasets._loaders import Dataset as Dataset
from mlp_jax.datasets._loaders import Examples as Examples
from mlp_jax.datasets._loaders import load as load
from mlp_jax.datasets._loaders import load_digits as load_digits
from mlp_jax.datasets._loaders import load_mnist as load_mnist
from mlp_jax.datasets._loaders import load_mnist1d as load_mnist1d
from mlp_jax.datasets._loaders import load_npz as load_npz
from mlp_jax.datasets._loaders import load_table as load_table
from mlp_jax.datasets._loaders import split_indices as split_indices
from mlp_jax.datasets._mnist import read_mnist as read_mnist
from mlp_jax.datasets._model_file import Model as Model
from mlp_jax.datasets._model_file import load_model as load_model
from mlp_jax.datasets._model_file import save_model as save_model
from mlp_jax.datasets._scaling import mean_and_scale as mean_and_scale
from mlp_jax.datasets._scaling import standardise as standardise
from mlp_jax.datasets._user_files import Raw as Raw
from mlp_jax.datasets._user_files import read_npz as read_npz
from mlp_jax.datasets._user_files import read_table as read_table
