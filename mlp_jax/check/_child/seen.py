"""What a file is seen to do: take gradients from a library, or look into the program that runs it."""

import inspect
import sys
from collections.abc import Callable
from functools import wraps
from types import ModuleType, SimpleNamespace
from typing import Any

GRADIENTS = {
    "jax": ("grad", "value_and_grad", "vjp", "jvp", "linearize", "jacobian", "jacfwd", "jacrev", "hessian"),
    "torch": (
        "Tensor.backward",
        "autograd.backward",
        "autograd.grad",
        "func.grad",
        "func.vjp",
        "func.jvp",
        "func.jacrev",
        "func.jacfwd",
        "func.hessian",
    ),
    "tensorflow": ("GradientTape.gradient", "GradientTape.jacobian", "gradients"),
    "autograd": ("grad", "value_and_grad", "elementwise_grad", "jacobian", "make_vjp"),
    "sympy": ("diff", "Expr.diff"),
    "scipy.optimize": ("approx_fprime",),
    "mlp_jax": ("backprop", "backprop_with_trace", "autodiff"),
}
LOOKS = ("sys._getframe", "sys._current_frames", "sys.settrace", "sys.setprofile", "gc.get_objects",
         "gc.get_referrers", "gc.get_referents", "object.__getattr__")  # fmt: skip


def watch(file: str) -> tuple[list[str], list[str]]:
    """Return two lists that fill while a file runs: gradient functions that it calls, and looks that it takes."""
    calls: list[str] = []
    looks: list[str] = []
    looking: list[bool] = []

    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        others = (finder for finder in sys.meta_path if finder is not watcher) if name in GRADIENTS else ()
        spec = next((spec for finder in others if (spec := finder.find_spec(name, path, target))), None)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            execute = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                for function in GRADIENTS[name]:
                    _wrap(module, function, f"{name}.{function}", calls)

            loader.exec_module = exec_module
        return spec

    def hear(event: str, arguments: Any) -> None:
        if event not in LOOKS or looking or (event == "object.__getattr__" and not arguments[1].endswith("_frame")):
            return
        looking.append(True)  # the next line is such an event too
        frame: Any = sys._getframe(1)
        looking.clear()
        while frame.f_back and frame.f_code.co_filename == inspect.__file__:
            frame = frame.f_back
        caller = frame.f_code.co_filename
        if (caller == file or (caller.startswith("<") and not caller.startswith("<frozen"))) and event not in looks:
            looks.append(event)

    watcher: Any = SimpleNamespace(find_spec=find_spec)
    sys.meta_path.insert(0, watcher)
    sys.addaudithook(hear)
    return calls, looks


def _wrap(module: ModuleType, path: str, name: str, calls: list[str]) -> None:
    """Replace a function of a module, if it has it, by one that notes its calls."""
    *places, last = path.split(".")
    parent: Any = module
    for place in places:
        parent = getattr(parent, place, None)
    function: Callable[..., Any] | None = getattr(parent, last, None)
    if function is not None:

        @wraps(function)
        def noted(*args: Any, **kwargs: Any) -> Any:
            if name not in calls:
                calls.append(name)
            return function(*args, **kwargs)

        setattr(parent, last, noted)
