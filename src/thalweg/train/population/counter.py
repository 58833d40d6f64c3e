"""Dropout whose masks are a pure function of (seed, step, layer, element), whatever trains beside and wherever.

torch draws masks one after the other from a generator, so that a member's noise would depend on the members before it.
Here the word of an element is computed from its number, as in Salmon et al. 2011, "Parallel random numbers: as easy as
1, 2, 3". Compiled it takes a tenth of the time of torch's generator on a CPU.

An element's number is spread over 32 bits, once for all members and steps; then four rounds of a Feistel network mix
its two halves with keys of 16 bits that come from (seed, step, layer), and each half decides on an element. All of it
is integer arithmetic that never overflows, in int32 (16 bits times 15), which every device does alike; three rounds
would leave members correlated.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

WORD = 0xFFFFFFFF
HALF = 0xFFFF
GOLDEN = 0x9E3779B9  # 2**32 / golden ratio
ROUNDS = (31153, 28211, 30089, 26699)  # odd multipliers below 2**15: 65,535 times each, plus a key, is below 2**31
MIDDLE = 9  # the bits of a product that depend on most bits of the factor
SCALE = 2**16  # of the numbers drawn
SELU_ZERO = -1.7580993408473766  # what alpha dropout puts in the place of a dropped number: −λα of SELU


def spread(state: Any) -> Any:
    """A bijection of 32 bits in which every bit of the argument flips every other with probability 1/2.

    Two rounds of multiply and xorshift, of an integer or an int64 tensor: state < 2**32 and multiplier < 2**31 leave
    the product below 2**63.

    Source: Wellons, "Prospecting for hash functions" (2018), constants by TheIronBorn.
    """
    state = ((state ^ (state >> 16)) * 0x21F0AAAD) & WORD
    state = ((state ^ (state >> 15)) * 0x735A2D97) & WORD
    return state ^ (state >> 15)


def streams(seed: int) -> tuple[int, ...]:
    """Three integers of 32 bits that a seed stands for; it counts with 64 bits."""
    first = [spread((seed & WORD) ^ (stream * GOLDEN & WORD)) for stream in (1, 2, 3)]
    return tuple(spread(state ^ ((seed >> 32) & WORD)) for state in first)


def halves(count: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """The upper and the lower 16 bits of the spread numbers of `count` elements, `[1, count]` int32."""
    state = spread((torch.arange(count, device=device)[None] + GOLDEN) & WORD)
    return (state >> 16).int(), (state & HALF).int()


def words(upper: Tensor, lower: Tensor, keys: Sequence[Any], scratch: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Two uniform integers of 16 bits, int32, for each number `[1, n]` and keys that broadcast against them.

    Args:
        upper: from `halves`.
        lower: from `halves`.
        keys: six of 16 bits.
        scratch: `[3, ...]` of the result's shape to compute in, and to return parts of; fresh memory costs a large
            draw as much as its operations do.
    """
    spare = [None, None, None] if scratch is None else list(scratch)
    left = torch.bitwise_xor(upper, keys[0], out=spare.pop())
    right = torch.bitwise_xor(lower, keys[1], out=spare.pop())
    for multiplier, key in zip(ROUNDS, keys[2:], strict=True):
        mixed = torch.mul(right, multiplier, out=spare.pop())
        mixed.add_(key).bitwise_right_shift_(MIDDLE).bitwise_and_(HALF).bitwise_xor_(left)
        spare.append(None if scratch is None else left)
        left, right = right, mixed
    return left, right


@dataclass
class CounterNoise:
    """The noise of K members, each at a step of its own.

    Args:
        states: `[3, K]` int64, of the members' seeds and steps; from `of` and `at`.
        rates: of each dropout call in the order of the forward pass the members' probabilities `[K]`, float64; empty
            where all have those that the network names.
        tables: by count of elements the spread numbers, for pairs and for elements, and which elements are the second
            of a pair; kept because they are the same in every step.
        scratch: memory by count of elements.

    >>> noise = CounterNoise.of([3, 7], [0, 0])
    >>> noise.dropout(torch.ones(2, 6), 0.5, layer=0)
    tensor([[0., 0., 2., 0., 0., 0.],
            [2., 2., 2., 0., 0., 2.]])
    """

    states: Tensor
    rates: Sequence[Tensor] = ()
    tables: dict[int, tuple[Tensor, ...]] = field(default_factory=dict)
    scratch: dict[int, Tensor] = field(default_factory=dict)

    @staticmethod
    def of(seeds: Sequence[int], steps: Sequence[int], rates: Sequence[Tensor] = ()) -> "CounterNoise":
        """The noise of members with these seeds after so many updates."""
        own = torch.tensor([streams(seed) for seed in seeds]).T.contiguous()
        return CounterNoise(spread(own ^ (torch.tensor(steps) & WORD)), rates)

    def at(self, own: Tensor, steps: Tensor) -> "CounterNoise":
        """The noise at other steps `[K]`, int64; `own` are the members' streams `[3, K]`."""
        return CounterNoise(spread(own ^ (steps & WORD)), self.rates, self.tables, self.scratch)

    def keys(self, layer: int) -> list[Any]:
        """Six keys of 16 bits, `[K, 1]` int32."""
        state = spread(self.states ^ layer)[:, :, None]
        return [key for pair in zip((state >> 16).int(), (state & HALF).int(), strict=True) for key in pair]

    def kept(self, shape: Sequence[int], p: float, layer: int, dtype: torch.dtype = torch.bool) -> Tensor:
        """`[K, *shape]` that is 0 or False with the probability p, or the members' own, to 16 bits, and else 1 or True.

        One word decides on two elements: number i on element i and on element i + n/2.
        """
        count = math.prod(shape)
        pairs = (count + 1) // 2
        if count not in self.tables:
            upper, lower = halves(pairs, self.states.device)
            both = [torch.cat([half, half], 1)[:, :count].contiguous() for half in (upper, lower)]
            second = torch.arange(count, device=self.states.device)[None] >= pairs
            self.tables[count] = upper, lower, *both, second
        upper, lower, whole_upper, whole_lower, second = self.tables[count]
        below = (self.probabilities(p, layer) * SCALE).round().int()[:, None]
        if torch.compiler.is_compiling():  # two words instead of one for two elements, in a kernel that has no seam
            left, right = words(whole_upper, whole_lower, self.keys(layer))
            return (torch.where(second, right, left) >= below).view(-1, *shape).to(dtype)
        left, right = words(upper, lower, self.keys(layer), self._scratch(pairs))
        found = torch.empty((len(left), count), dtype=dtype, device=left.device)
        torch.ge(left, below, out=found[:, :pairs])
        torch.ge(right[:, : count - pairs], below, out=found[:, pairs:])
        return found.view(-1, *shape)

    def _scratch(self, count: int) -> Tensor | None:
        """Memory to draw in, kept between steps; a graph has its own."""
        if torch.compiler.is_compiling():
            return None
        size = (3, self.states.shape[1], count)
        if count not in self.scratch or self.scratch[count].shape != size:
            self.scratch[count] = torch.empty(size, dtype=torch.int32, device=self.states.device)
        return self.scratch[count]

    def probabilities(self, p: float, layer: int) -> Tensor:
        """`[K]` float64: the members' own, or p for all."""
        if self.rates:
            return self.rates[layer]
        return self.states.new_full(self.states.shape[1:], p, dtype=torch.float64)

    def dropout(self, x: Tensor, p: float, *, layer: int, kind: str = "elements") -> Tensor:
        """Dropout of a member's tensor: y = m x / (1 − p); exactly x at p = 0, and 0 at p = 1.

        Args:
            x: `[K, *shape]`.
            p: as the network has it; the members' own rates take its place.
            layer: number of the call among the dropout calls of a forward pass.
            kind: "elements"; "channels" for one draw per row and channel; "alpha" and "alpha channels", which keep mean
                and variance after SELU.
        """
        shape = drawn_shape(x.shape[1:], kind)
        if not kind.startswith("alpha"):
            return x * self.factors(shape, p, layer=layer, dtype=x.dtype)
        dropped = self.probabilities(p, layer).view(-1, *[1] * (x.dim() - 1))
        scale = (((1 + dropped * SELU_ZERO**2) * (1 - dropped)) ** -0.5).where(dropped < 1, 0)
        shift = (-scale * dropped * SELU_ZERO).to(x.dtype)
        return torch.where(self.kept(shape, p, layer), x, SELU_ZERO) * scale.to(x.dtype) + shift

    def factors(self, shape: Sequence[int], p: float, *, layer: int, dtype: torch.dtype) -> Tensor:
        """`[K, *shape]` of what dropout multiplies by: 0, or 1/(1 − p)."""
        dropped = self.probabilities(p, layer).view(-1, *[1] * len(shape))
        return self.kept(shape, p, layer, dtype).mul_((1 / (1 - dropped)).where(dropped < 1, 0).to(dtype))

    def bernoulli(self, shape: Sequence[int], keep: float, *, layer: int, dtype: torch.dtype) -> Tensor:
        """`[K, *shape]`, 1 with probability `keep` and 0 else."""
        return self.kept(shape, 1 - keep, layer).to(dtype)


def drawn_shape(shape: Sequence[int], kind: str) -> Sequence[int]:
    """Of the draws for a tensor: one for each element, or for each row and channel."""
    return shape if kind in ("elements", "alpha") else (*shape[:2], *[1] * (len(shape) - 2))


@dataclass
class MemberNoise(CounterNoise):
    """The noise of one member by itself, `[1, ...]`: the same numbers, with keys that cost no tensor operations."""

    words: tuple[int, ...] = ()

    @staticmethod
    def after(own: tuple[int, ...], step: int, before: "CounterNoise | None" = None) -> "MemberNoise":
        """Of a member whose `streams` are `own`, after so many updates, with the memory of a noise before."""
        kept = ({}, {}) if before is None else (before.tables, before.scratch)
        return MemberNoise(NO_STATES, (), *kept, tuple(spread(word ^ (step & WORD)) for word in own))

    def keys(self, layer: int) -> list[Any]:
        state = [spread(word ^ layer) for word in self.words]
        return [key for word in state for key in (word >> 16, word & HALF)]


NO_STATES = torch.zeros(3, 1, dtype=torch.int64)
