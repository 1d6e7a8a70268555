"""Random rounding (Monte Carlo arithmetic): what a precision does to a network's outputs, measured on the reference.

Under `RandomRounding(narrow)` every result that torch would round to `narrow` is computed in the next wider type and rounded
up or down at random, to either neighbour with the probability that makes the error zero on average. A run is then one draw
of the errors that rounding makes, and so is any other implementation that rounds as often. Sums of float32 also get the
error of adding n terms one by one: a random walk of n steps of at most u times the sum of magnitudes (Higham and Mary 2019,
doi:10.1137/18M1226312).

`margin(seeds)` is the factor by which a further draw may exceed the largest of `seeds` draws.
"""

import math

import torch
from torch.utils._python_dispatch import TorchDispatchMode

SEEDS = 32
# The chance that a further draw is refused, for each compared number.
ALARM = 1e-4

# narrow -> the type that stands for exact, integers of its size, and how many of its bits the narrow type lacks
WIDER = {torch.bfloat16: (torch.float32, torch.int32, 16), torch.float32: (torch.float64, torch.int64, 29)}
SUMS = {"mm", "bmm", "sum", "mean"}
ROUNDED = SUMS | {
    "mul", "add", "sub", "rsub", "div", "reciprocal", "pow", "sqrt", "rsqrt", "exp", "cos", "sin", "sigmoid", "silu", "softplus",
    "_softmax", "_to_copy", "index_add",
}  # fmt: skip
EXACT = {
    "view", "_unsafe_view", "t", "transpose", "permute", "expand", "unsqueeze", "squeeze", "slice", "select", "split", "alias",
    "detach", "clone", "copy_", "cat", "stack", "index", "gather", "embedding", "neg", "relu", "clamp", "max", "amax", "where",
    "masked_fill", "new_zeros", "new_full", "new_empty", "zeros_like", "full_like", "empty_like", "full", "zeros", "empty",
    "lift_fresh", "repeat", "arange", "topk", "sort", "scatter_", "fill_", "masked_fill_", "scalar_tensor", "abs", "unbind",
    "empty_strided", "unsafe_split", "split_with_sizes", "constant_pad_nd", "_local_scalar_dense", "as_strided", "ones",
}  # fmt: skip


class RandomRounding(TorchDispatchMode):
    def __init__(self, narrow, seed=0):
        super().__init__()
        self.narrow = narrow
        self.wide, self.integer, self.bits = WIDER[narrow]
        self.generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name == "index_add_":
            return args[0].copy_(self.rounded(torch.ops.aten.index_add, *self.widened(args)))
        out = func(*args, **kwargs)
        if not isinstance(out, torch.Tensor) or out.dtype != self.narrow or name in EXACT:
            return out
        assert name in ROUNDED, f"is the result of {name} rounded?"
        if name == "_to_copy":
            return self.round(args[0].to(self.wide))
        return self.rounded(func, *self.widened(args), **{k: v for k, v in kwargs.items() if k != "dtype"})

    def widened(self, args):
        return [a.to(self.wide) if isinstance(a, torch.Tensor) and a.dtype == self.narrow else a for a in args]

    def rounded(self, func, *args, **kwargs):
        out = func(*args, **kwargs)
        if self.narrow == torch.float32 and func.__name__.split(".")[0] in SUMS:
            tensors = [a for a in args if isinstance(a, torch.Tensor)]
            terms = tensors[0].shape[-1] if len(tensors) == 2 else tensors[0].numel() // max(1, out.numel())
            size = func(*[a.abs() if isinstance(a, torch.Tensor) else a for a in args], **kwargs)
            walk = 2 * torch.rand(out.shape, generator=self.generator, dtype=self.wide) - 1
            out = out + walk * size * math.sqrt(terms) * 2.0**-24
        return self.round(out)

    def round(self, x):
        """To one of the two neighbours in the narrow type, nearer ones more often."""
        mask = (1 << self.bits) - 1
        noise = torch.randint(0, mask + 1, x.shape, generator=self.generator, dtype=self.integer)
        return ((x.contiguous().view(self.integer) + noise) & ~mask).view(self.wide).to(self.narrow)


def exceeds(c, seeds):
    """The chance that |z| of a further normal draw exceeds c times the largest |z| of `seeds` draws."""
    steps, top, total = 20000, 10.0, 0.0
    for i in range(steps):
        m = (i + 0.5) * top / steps
        density = seeds * math.erf(m / 2**0.5) ** (seeds - 1) * math.sqrt(2 / math.pi) * math.exp(-m * m / 2)
        total += density * math.erfc(c * m / 2**0.5) * top / steps
    return total


def margin(seeds=SEEDS, alarm=ALARM):
    low, high = 1.0, 20.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if exceeds(middle, seeds) > alarm else (low, middle)
    return high
