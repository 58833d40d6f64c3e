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
from collections.abc import Iterator, Sequence
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
BLOCK = 2**15  # words that a thread draws at once on a CPU: five tensors of 128 KiB
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


def words(upper: Tensor, lower: Tensor, keys: Sequence[Tensor], room: Sequence[Tensor] = ()) -> tuple[Tensor, Tensor]:
    """Two uniform integers of 16 bits, int32, for each number `[1, n]` and keys that broadcast against them.

    Args:
        upper: from `halves`.
        lower: from `halves`.
        keys: six of 16 bits, int32.
        room: three tensors of the result's shape to compute in, two of which are returned; fresh memory costs a large
            draw as much as its operations do.
    """
    spare: list[Tensor | None] = list(room) or [None, None, None]
    left = torch.bitwise_xor(upper, keys[0], out=spare.pop())
    right = torch.bitwise_xor(lower, keys[1], out=spare.pop())
    for multiplier, key in zip(ROUNDS, keys[2:], strict=True):
        mixed = torch.add(key, right, alpha=multiplier, out=spare.pop())
        mixed.bitwise_right_shift_(MIDDLE).bitwise_and_(HALF).bitwise_xor_(left)
        spare.append(left if room else None)
        left, right = right, mixed
    return left, right


class Workspace:
    """What the draws of all steps share, and of all members where these draw one after the other.

    Members that draw each in memory of their own would find none of it in the cache.

    Args:
        device: that noise is drawn on.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.tables: dict[int, tuple[Tensor, ...]] = {}
        self.memory = torch.empty(3, 0, dtype=torch.int32, device=device)
        self.rooms: dict[tuple[int, int], list[Tensor]] = {}

    def table(self, count: int) -> tuple[Tensor, ...]:
        """The spread numbers of so many elements, for pairs and for elements, and which are the second of a pair."""
        if count not in self.tables:
            pairs = (count + 1) // 2
            upper, lower = halves(pairs, self.device)
            both = [torch.cat([half, half], 1)[:, :count].contiguous() for half in (upper, lower)]
            second = torch.arange(count, device=self.device)[None] >= pairs
            self.tables[count] = upper, lower, *both, second
        return self.tables[count]

    def room(self, rows: int, columns: int) -> list[Tensor]:
        """Memory to draw in, three times `[rows, columns]`."""
        if rows * columns > self.memory.shape[1]:
            self.memory = torch.empty(3, rows * columns, dtype=torch.int32, device=self.device)
            self.rooms = {}
        if (rows, columns) not in self.rooms:
            self.rooms[rows, columns] = [part[: rows * columns].view(rows, columns) for part in self.memory]
        return self.rooms[rows, columns]

    def blocks(self, rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
        """Parts of `[rows, columns]` that are drawn at once: on a CPU such as stay in its cache."""
        most = BLOCK * torch.get_num_threads() if self.device.type == "cpu" else rows * columns
        high, wide = max(1, most // max(columns, 1)), max(1, min(columns, most))
        for top in range(0, rows, high):
            for start in range(0, columns, wide):
                yield slice(top, min(top + high, rows)), slice(start, min(start + wide, columns))


@dataclass
class CounterNoise:
    """The noise of K members, each at a step of its own.

    Args:
        states: `[3, K]` int64, of the members' seeds and steps; from `of` and `at`.
        rates: of each dropout call in the order of the forward pass the members' probabilities `[K]`, float64; empty
            where all have those that the network names.
        workspace: on the device of the states.

    >>> noise = CounterNoise.of([3, 7], [0, 0])
    >>> noise.dropout(torch.ones(2, 6), 0.5, layer=0)
    tensor([[0., 0., 2., 0., 0., 0.],
            [2., 2., 2., 0., 0., 2.]])
    """

    states: Tensor
    rates: Sequence[Tensor] = ()
    workspace: Workspace = field(default_factory=Workspace)

    @staticmethod
    def of(
        seeds: Sequence[int], steps: Sequence[int], rates: Sequence[Tensor] = (), workspace: Workspace | None = None
    ) -> "CounterNoise":
        """The noise of members with these seeds after so many updates."""
        found = workspace or Workspace()
        pairs = zip(seeds, steps, strict=True)
        states = [[spread(word ^ (step & WORD)) for word in streams(seed)] for seed, step in pairs]
        return CounterNoise(torch.tensor(states, device=found.device).T.contiguous(), rates, found)

    def at(self, own: Tensor, steps: Tensor) -> "CounterNoise":
        """The noise at other steps `[K]`, int64; `own` are the members' streams `[3, K]`."""
        return CounterNoise(spread(own ^ (steps & WORD)), self.rates, self.workspace)

    def __len__(self) -> int:
        return self.states.size(1)

    def keys(self, layer: int) -> list[Tensor]:
        """Six keys of 16 bits, int32, that broadcast against `[K, n]`."""
        state = spread(self.states ^ layer)[:, :, None]
        return [key for pair in zip((state >> 16).int(), (state & HALF).int(), strict=True) for key in pair]

    def kept(
        self, shape: Sequence[int], p: float, layer: int, dtype: torch.dtype = torch.bool, scale: Any = None
    ) -> Tensor:
        """`[K, *shape]` that is 0 or False with the probability p, or the members' own, to 16 bits, and else 1 or True.

        One word decides on two elements: number i on element i and on element i + n/2. With a scale, `[K]` or a
        number, the result is multiplied by it.
        """
        count = math.prod(shape)
        upper, lower, whole_upper, whole_lower, second = self.workspace.table(count)
        columns = [*self.keys(layer), self.below(p, layer)]
        if isinstance(scale, Tensor):
            scale = scale[:, None].to(dtype)
        if torch.compiler.is_compiling():  # two words instead of one for two elements, in a kernel that has no seam
            left, right = words(whole_upper, whole_lower, columns[:-1])
            found: Tensor = (torch.where(second, right, left) >= columns[-1]).to(dtype)
            return (found if scale is None else found.mul(scale)).view(len(self), *shape)
        members, pairs = len(self), upper.shape[1]
        found = torch.empty((members, count), dtype=dtype, device=self.workspace.device)
        for rows, part in self.workspace.blocks(members, pairs):
            *keys, below = columns if members == 1 else [column[rows] for column in columns]
            room = self.workspace.room(rows.stop - rows.start, part.stop - part.start)
            drawn = words(upper[:, part], lower[:, part], keys, room)
            for word, start in zip(drawn, (part.start, part.start + pairs), strict=True):
                place = found[rows, start : start + word.shape[1]]
                torch.ge(word[:, : place.shape[1]], below, out=place)
                if scale is not None:
                    place.mul_(scale[rows] if isinstance(scale, Tensor) else scale)
        return found.view(members, *shape)

    def below(self, p: float, layer: int) -> Any:
        """What a word must reach for its element to be kept; broadcasts against `[K, n]`."""
        return (self.probabilities(p, layer) * SCALE).round().int()[:, None]

    def scale(self, p: float, layer: int) -> Any:
        """1/(1 − p), or 0 at p = 1: `[K]` float64, or a number for all."""
        dropped = self.probabilities(p, layer)
        return (1 / (1 - dropped)).where(dropped < 1, 0)

    def probabilities(self, p: float, layer: int) -> Tensor:
        """`[K]` float64: the members' own, or p for all."""
        if self.rates:
            return self.rates[layer]
        return torch.full((len(self),), p, dtype=torch.float64, device=self.workspace.device)

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
        return self.kept(shape, p, layer, dtype, self.scale(p, layer))

    def bernoulli(self, shape: Sequence[int], keep: float, *, layer: int, dtype: torch.dtype) -> Tensor:
        """`[K, *shape]`, 1 with probability `keep` and 0 else."""
        return self.kept(shape, 1 - keep, layer, dtype)


def drawn_shape(shape: Sequence[int], kind: str) -> Sequence[int]:
    """Of the draws for a tensor: one for each element, or for each row and channel."""
    return shape if kind in ("elements", "alpha") else (*shape[:2], *[1] * (len(shape) - 2))


@dataclass
class MemberNoise(CounterNoise):
    """The noise of one member by itself, `[1, ...]`: the same numbers, with keys and probabilities in Python."""

    words: tuple[int, ...] = ()

    @staticmethod
    def after(own: tuple[int, ...], step: int, workspace: Workspace) -> "MemberNoise":
        """Of a member whose `streams` are `own`, after so many updates."""
        return MemberNoise(NO_STATES, (), workspace, tuple(spread(word ^ (step & WORD)) for word in own))

    def keys(self, layer: int) -> list[Tensor]:
        state = [spread(word ^ layer) for word in self.words]
        numbers = [key for word in state for key in (word >> 16, word & HALF)]
        return list(torch.tensor(numbers, dtype=torch.int32, device=self.workspace.device))

    def below(self, p: float, layer: int) -> int:
        return round(p * SCALE)

    def scale(self, p: float, layer: int) -> float:
        return 1 / (1 - p) if p < 1 else 0.0


NO_STATES = torch.zeros(3, 1, dtype=torch.int64)
