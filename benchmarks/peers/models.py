"""Speed on models of other kinds: thalweg against the plain loop, which it must never fall below.

    python benchmarks/peers/models.py [--rounds 7] [--only LSTM]

Same rows, Adam, batch size and steps. "loop" is the loop of the PyTorch tutorial; "tuned loop" has the fast forms of
loader and optimizer: whole batches by index, fused kernel. thalweg runs through its public face with monitors on,
validation each epoch and records on disk: "plain" is `Plan.plain`, "chosen" adds what the automatic plan chooses about
a step. One thread, process CPU time. What is paid once per training is not billed to the steps: from each training the
time of a short one, of an epoch of 2,048 rows, is subtracted. Interleaved, medians of ratios: above 1, thalweg is
faster.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable

import torch
from speed import SHORT_ROWS
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler
from trainers import silence
from zoo import CLASSES, MODELS, Inputs, Model

import thalweg as tw

EPOCHS = 2


def select(inputs: Inputs, rows: object) -> Inputs:
    if isinstance(inputs, Tensor):
        return inputs[rows]
    if isinstance(inputs, dict):
        return {name: value[rows] for name, value in inputs.items()}
    return tuple(value[rows] for value in inputs)


class Pairs(Dataset):
    def __init__(self, inputs: Inputs, y: Tensor) -> None:
        self.inputs, self.y = inputs, y

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, i):
        return select(self.inputs, i), self.y[i]


def loop(model: nn.Module, inputs: Inputs, y: Tensor, batch_size: int, epochs: int, *, tuned: bool = False) -> None:
    rows = Pairs(inputs, y)
    loader = DataLoader(rows, batch_size=batch_size, shuffle=True)
    if tuned:
        loader = DataLoader(rows, sampler=BatchSampler(RandomSampler(rows), batch_size, False), batch_size=None)
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trainable, lr=1e-3, fused=True if tuned else None)
    model.train()
    for _ in range(epochs):
        for x, target in loader:
            optimizer.zero_grad()
            output = model(x) if isinstance(x, Tensor) else model(**x) if isinstance(x, dict) else model(*x)
            loss = F.cross_entropy(output, target)
            loss.backward()
            optimizer.step()


def tuned_loop(model: nn.Module, inputs: Inputs, y: Tensor, batch_size: int, epochs: int) -> None:
    loop(model, inputs, y, batch_size, epochs, tuned=True)


def ours(model: nn.Module, inputs: Inputs, y: Tensor, batch_size: int, epochs: int, **changes: object) -> None:
    held = (select(inputs, slice(64)), y[:64])
    with tempfile.TemporaryDirectory() as folder:
        experiment = tw.Experiment(
            model, train=(inputs, y), validation=held, test=False, loss="cross_entropy", directory=folder
        )
        plan = tw.Plan.plain(optimizer=tw.optimizers.Adam(lr=1e-3), epochs=epochs, batch_size=batch_size, **changes)
        experiment.train(plan, listeners=())


def chosen(model: nn.Module, inputs: Inputs, y: Tensor, batch_size: int, epochs: int) -> None:
    ours(model, inputs, y, batch_size, epochs, memory_format="auto")


FORMS: dict[str, Callable[[nn.Module, Inputs, Tensor, int, int], None]] = {
    "loop": loop,
    "tuned loop": tuned_loop,
    "plain": ours,
    "chosen": chosen,
}


def step_seconds(train: Callable[..., None], model: Model, seed: int) -> float:
    """CPU time of a step: that of a whole training less that of a short one."""
    torch.manual_seed(seed)
    rows = model.batch_size * model.num_steps // EPOCHS
    inputs, y = model.inputs(rows), torch.arange(rows) % CLASSES
    seconds = []
    for count, epochs in ((rows, EPOCHS), (SHORT_ROWS, 1)):
        network = model.build()
        with silence():
            started = time.process_time()
            train(network, select(inputs, slice(count)), y[:count], model.batch_size, epochs)
            seconds.append(time.process_time() - started)
    return (seconds[0] - seconds[1]) / (model.num_steps - SHORT_ROWS // model.batch_size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread, {options.rounds} rounds\n")
    print("| model | loop, µs a step | plain / loop | chosen / loop | plain / tuned loop | chosen / tuned loop |")
    print("|---|---|---|---|---|---|")
    for model in MODELS:
        if options.only.lower() not in model.name.lower():
            continue
        taken: dict[str, list[float]] = {name: [] for name in FORMS}
        for k in range(options.rounds + 1):
            forms = list(FORMS.items())
            for name, train in forms[k % 4 :] + forms[: k % 4]:  # no form has a place of its own
                seconds = step_seconds(train, model, seed=k)
                if k:  # the first round warms up
                    taken[name].append(seconds)
        cells = [ratio(taken[base], taken[form]) for base in ("loop", "tuned loop") for form in ("plain", "chosen")]
        print(f"| {model.name} | {statistics.median(taken['loop']) * 1e6:.0f} | {' | '.join(cells)} |", flush=True)


def ratio(base: list[float], own: list[float]) -> str:
    """The median of the rounds' ratios, and the least and the largest."""
    values = sorted(b / o for b, o in zip(base, own, strict=True))
    return f"{statistics.median(values):.2f}x ({values[0]:.2f} to {values[-1]:.2f})"


if __name__ == "__main__":
    main()
