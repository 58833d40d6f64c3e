"""Healthy training programs of many kinds, verified by their outcome, on which the doctor must stay silent.

    OMP_NUM_THREADS=1 python benchmarks/healthy_programs.py --verify   # writes healthy_programs.json anew
    python benchmarks/healthy_programs.py                              # what is in it

Programs are drawn from a generator with a fixed seed: a network that fits the data's form, a loss, an optimizer at a
usual rate, a schedule, a batch size. Each is trained by a plain torch loop; it is kept where on every seed

    score = (metric − constant) / (reference − constant) ≥ 0.9,  or ≥ 0.85 within two standard errors,

with the metric of the last step, and as reference the best that a program on the same data reaches in the median,
scikit-learn's random forest, linear model or neighbors, or the program itself at a tenth, four times or sixteen times
its rate. A constant answer scores 0.
"""

import argparse
import json
import math
import random
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from healthy_data import NAMES, Data, data, reference_outputs, take
from healthy_networks import LOSSES, build, per_position
from torch import Tensor, nn
from torch.nn import functional as F

import thalweg as tw

LIST = Path(__file__).with_name("healthy_programs.json")
FILES = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
CANDIDATES, SEEDS, MOST_SECONDS = 7, (0, 1), 3.0
OTHER_RATES = (0.1, 4.0, 16.0)  # times its own: a program that does much better at another rate is not healthy
SCORE, NOISY_SCORE, LEAST_GAIN = 0.9, 0.85, 0.1  # LEAST_GAIN: of the reference over a constant answer
SINGLE = ("binary_cross_entropy", "torch_bce_logits", "bce", "weighted_bce", "hinge")  # one output for two classes
RATES: dict[str, list[dict[str, Any]]] = {
    "sgd": [
        {"lr": 0.1},
        {"lr": 0.05},
        {"lr": 0.05, "momentum": 0.9},
        {"lr": 0.02, "momentum": 0.9, "nesterov": True},
        {"lr": 0.02, "momentum": 0.9, "weight_decay": 5e-4},
    ],
    "adam": [{"lr": 1e-3}, {"lr": 3e-3}, {"lr": 2e-3, "weight_decay": 1e-5}],
    "adamw": [{"lr": 1e-3, "weight_decay": 0.01}, {"lr": 3e-3, "weight_decay": 0.05}],
    "rmsprop": [{"lr": 1e-3}, {"lr": 2e-3}],
    "adagrad": [{"lr": 0.02}, {"lr": 0.05}],
    "nadam": [{"lr": 1e-3}, {"lr": 2e-3}],
    "lion": [{"lr": 2e-4, "weight_decay": 0.01}, {"lr": 5e-4}],
}
TORCH: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "nadam": torch.optim.NAdam,
    "lion": lambda parameters, **options: tw.optimizers.Lion(**options).build(parameters),
}
SCHEDULES: dict[str | None, tw.schedules.Schedule] = {
    "cosine": tw.schedules.WarmupCosine(warmup=0.0),
    "warmup_cosine": tw.schedules.WarmupCosine(warmup=0.1),
    "linear": tw.schedules.Linear(),
    "one_cycle": tw.schedules.OneCycle(),
}
PLAIN = {  # the function that a name stands for in a plain loop
    "cross_entropy": F.cross_entropy,
    "nll": F.nll_loss,
    "binary_cross_entropy": F.binary_cross_entropy_with_logits,
    "mse": F.mse_loss,
    "mae": F.l1_loss,
    "huber": F.huber_loss,
}
Spec = dict[str, Any]


def draw_mlp(rng: random.Random, found: Data) -> Spec:
    depth = rng.choice([0, 1, 1, 2, 2, 3, 3, 4, 6, 8, 12])
    spec: Spec = {"kind": "mlp", "widths": [rng.choice([16, 32, 64, 128])] * depth, "act": "relu"}
    if rng.random() < 0.5:
        spec["act"] = rng.choice(["tanh", "selu", "gelu", "silu", "elu", "leaky_relu"])
    if depth > 4:  # as people train deep ones
        spec |= rng.choice([{"norm": "batch"}, {"norm": "layer"}, {"residual": True}, {"init": "he"}])
    elif depth and rng.random() < 0.4:
        spec["norm"] = rng.choice(["batch", "layer"])
    if spec["act"] == "selu":
        spec |= {"init": "lecun", "norm": None}
    if depth and depth <= 4 and rng.random() < 0.3:
        spec["dropout"] = rng.choice([0.1, 0.2, 0.3, 0.5])
    return spec


def draw_convolutional(rng: random.Random, found: Data) -> Spec:
    stages = 2 if min(found.shapes[0][1:]) < 16 else rng.choice([2, 3])
    spec: Spec = {"kind": "convolutional", "channels": [rng.choice([8, 12, 16]) * 2**i for i in range(stages)]}
    spec |= {"norm": rng.choice([None, "batch", "group", "layer"]), "act": rng.choice(["relu", "relu", "gelu", "silu"])}
    spec |= {"residual": rng.random() < 0.3, "flat": rng.random() < 0.4}
    return spec | ({"dropout": rng.choice([0.1, 0.25, 0.5])} if rng.random() < 0.3 else {})


def draw_recurrent(rng: random.Random, found: Data) -> Spec:
    spec = {"kind": "recurrent", "cell": rng.choice(["gru", "lstm"]), "width": rng.choice([24, 32, 48])}
    return spec | {"layers": rng.choice([1, 1, 2]), "pooled": rng.random() < 0.4}


def draw_transformer(rng: random.Random, found: Data) -> Spec:
    spec = {"kind": "transformer", "width": rng.choice([16, 32]), "layers": rng.choice([1, 2])}
    return spec | {"norm_first": rng.random() < 0.7, "dropout": rng.choice([0.0, 0.0, 0.1])}


def draw_network(rng: random.Random, found: Data, name: str) -> Spec:
    """A network for the form of the data."""
    if found.form == "pixels":
        return {"kind": "pixels", "width": rng.choice([8, 12, 16]), "norm": rng.choice([None, "batch", "group"])}
    if found.form == "factors":
        return {"kind": "factors", "width": rng.choice([3, 4, 6])}
    if found.form == "itself":
        return rng.choice([{"kind": "autoencoder", "width": 24}, {"kind": "mlp", "widths": [64, 24, 64]}])
    if found.form in ("vector", "mixed", "pair"):
        return draw_mlp(rng, found)
    if found.form == "tokens" and found.task == "per_position":
        causal = name == "shakespeare"
        spec = rng.choice([draw_recurrent, draw_transformer])(rng, found)
        if not causal and rng.random() < 0.4:
            spec = {"kind": "positions", "channels": [32] * rng.choice([1, 2])}
        spec |= {"per_position": True, "causal": causal, "both_ways": spec["kind"] == "recurrent" and not causal}
        width = spec.get("width", 24)
        return spec | {"embedding": width, "tied": causal and rng.random() < 0.5, "pooled": False}
    if found.form == "tokens":
        bag = {"kind": "bag", "widths": [32] * rng.choice([0, 1, 2])}
        convolutional = {"kind": "convolutional", "channels": [32], "norm": rng.choice([None, "batch"])}
        others = [bag, draw_recurrent(rng, found), draw_transformer(rng, found), convolutional]
        return rng.choice(others) | {"embedding": rng.choice([16, 24, 32])}
    kinds = [draw_convolutional, draw_convolutional, draw_mlp, draw_recurrent, draw_transformer]
    return rng.choice(kinds)(rng, found)


def draw_loss(rng: random.Random, found: Data, name: str) -> tuple[str, str]:
    """A loss for the task, and the head that it wants."""
    if found.metric == "deviance":
        return "poisson", ""
    if found.metric == "pinball":
        return "quantile", ""
    if found.task == "per_position":
        return ("cross_entropy", "") if found.form == "pixels" or rng.random() < 0.5 else ("per_position", "")
    if found.task == "regression":
        names = ["mse", "mse", "torch_mse", "mae", "huber", "smooth_l1", "log_cosh", "sum_mse"]
        return rng.choice(names + (["gaussian"] if found.outputs == 1 and found.form == "vector" else [])), ""
    if found.task == "multilabel":
        return rng.choice([("binary_cross_entropy", ""), ("torch_bce_logits", ""), ("bce", "sigmoid")])
    if found.metric == "balanced_accuracy":
        choices = [
            ("balanced_cross_entropy", ""),
            ("weighted_bce", ""),
            ("cross_entropy", ""),
            ("torch_bce_logits", ""),
        ]
        return rng.choice(choices)
    classes = [("cross_entropy", "")] * 3 + [("torch_cross_entropy", ""), ("label_smoothing", ""), ("focal", "")]
    classes += [("nll", "log_softmax"), ("sum_cross_entropy", ""), ("multi_margin", "")]
    if found.task == "binary":
        classes += [("binary_cross_entropy", "")] * 2 + [("torch_bce_logits", ""), ("bce", "sigmoid"), ("hinge", "")]
    return rng.choice(classes)


def draw(name: str, index: int, found: Data) -> Spec:
    """The program of a number: the same on every machine."""
    rng = random.Random(f"{name} {index}")
    network = draw_network(rng, found, name)
    loss, head = draw_loss(rng, found, name)
    if head and found.form not in ("mixed", "pair"):  # these are called with several inputs
        network["head"] = head
    elif head:
        loss = "cross_entropy"
    optimizer = rng.choice(
        ["sgd", "sgd", "sgd", "adam", "adam", "adam", "adamw", "rmsprop", "adagrad", "nadam", "lion"]
    )
    options = dict(rng.choice(RATES[optimizer]))
    rows = len(found.train[1])
    sizes = [size for size in (4, 8, 16, 32, 32, 64, 64, 128, 256, 512) if size <= rows / 2 and rows % size != 1]
    if network.get("norm") == "batch":
        sizes = [size for size in sizes if size >= 16]
    batch = rng.choice(sizes)
    if batch <= 16:  # a tenth or so of the usual number of rows wants smaller steps
        options["lr"] /= 4
    if loss.startswith("sum_"):
        options["lr"] /= batch if optimizer == "sgd" else 1
    updates = rng.choice([300, 500, 800, 1200]) * (2 if optimizer == "sgd" else 1)
    schedule = rng.choice([None, None, None, "cosine", "warmup_cosine", "linear", "one_cycle"])
    return {
        "id": f"{name}-{index}",
        "data": name,
        "network": network,
        "loss": loss,
        "optimizer": {"name": optimizer, **options},
        "schedule": schedule,
        "batch_size": batch,
        "epochs": min(max(round(updates / math.ceil(rows / batch)), 3), 150),
    }


@dataclass(frozen=True)
class Program:
    """What `doctor.py` takes; `plain_loss` and targets are those of a plain loop."""

    id: str
    group: str
    source: str
    task: str
    build_model: Callable[[], nn.Module]
    train: tuple[Any, Tensor]
    validation: tuple[Any, Tensor]
    loss: Any
    plain_loss: Callable[[Tensor, Tensor], Tensor]
    optimizer: Spec
    schedule: str | None
    batch_size: int
    epochs: int
    metric: Callable[[Tensor], float]
    spec: Spec
    kind: str = "healthy"
    max_steps: int = 10**9
    loop: None = None
    fault_families: tuple[str, ...] = ()


def program_of(spec: Spec, folder: Path) -> Program:
    """The program of a spec."""
    found, name = data(spec["data"], folder), spec["loss"]
    single = found.task == "binary" and name in SINGLE
    outputs = 1 if single else 2 * found.outputs if name == "gaussian" else found.outputs

    def as_floats(part: tuple[Any, Tensor]) -> tuple[Any, Tensor]:
        return (part[0], part[1][:, None].float()) if single and name != "binary_cross_entropy" else part

    plain = LOSSES[name] if callable(LOSSES[name]) else PLAIN[name]
    if name == "cross_entropy" and found.task == "per_position" and found.form == "tokens":
        plain = per_position
    return Program(
        id=spec["id"],
        group=spec["data"],
        source=f"{found.form}, {spec['network']['kind']}",
        task=found.task,
        build_model=lambda: build(spec["network"], found.form, found.shapes, outputs, found.vocabulary),
        train=as_floats(found.train),
        validation=as_floats(found.validation),
        loss=LOSSES[name],
        plain_loss=plain,
        optimizer=spec["optimizer"],
        schedule=spec["schedule"],
        batch_size=spec["batch_size"],
        epochs=spec["epochs"],
        metric=lambda output: measure(found, answers(found, name, output)),
        spec=spec,
    )


def load_programs(path: Path, folder: Path) -> list[Program]:
    """The verified programs whose data are there."""
    found = []
    for spec in json.loads(path.read_text()):
        try:
            found.append(program_of(spec, folder))
        except FileNotFoundError as error:
            print(f"skipped {spec['id']}: {error.filename} is not there")
    return found


# ---------------------------------------------------------------------- outcome


def answers(found: Data, loss: str, output: Tensor) -> Tensor:
    """Outputs as answers: classes, labels or numbers."""
    cut = 0.5 if loss == "bce" else 0.0
    if found.task == "multilabel" or (found.task == "binary" and loss in SINGLE):
        return (output > cut).long() if found.task == "multilabel" else (output[:, 0] > cut).long()
    if found.task == "regression":
        return torch.exp(output) if loss == "poisson" else output[:, : found.outputs]
    return output.argmax(-1 if found.form == "tokens" else 1)


def measure(found: Data, answer: Tensor) -> float:
    """The metric of answers on the validation rows."""
    target = found.validation[1]
    if found.metric == "accuracy":
        return float((answer == target).float().mean())
    if found.metric == "balanced_accuracy":
        return float(torch.stack([(answer[target == c] == c).float().mean() for c in target.unique()]).mean())
    if not bool(answer.isfinite().all()):
        return -math.inf
    answer, target = answer.double(), target.double()
    if found.metric == "r2":
        return float(1 - ((answer - target) ** 2).sum() / ((target - target.mean(0)) ** 2).sum())
    if found.metric == "pinball":
        cost = [torch.maximum(0.8 * e, -0.2 * e).mean() for e in (target - answer, target - target.quantile(0.8))]
        return float(1 - cost[0] / cost[1])
    rates = (answer, target.mean().expand_as(target))
    deviance = [(torch.xlogy(target, target / rate) - target + rate).sum() for rate in rates]
    return float(1 - deviance[0] / deviance[1])


def constant_of(found: Data) -> float:
    """What the best constant answer has."""
    target = found.validation[1]
    if found.task == "regression":
        return 0.0
    if found.metric == "balanced_accuracy":
        return 1 / len(target.unique())
    if found.task == "multilabel":
        share = target.mean(0)
        return float(torch.maximum(share, 1 - share).mean())
    return float(target.flatten().bincount().max() / target.numel())


def noise_of(found: Data, value: float) -> float:
    """Two standard errors of the metric on the validation rows."""
    if found.task == "regression":
        return 0.03
    target = found.validation[1]
    rows = int(target.bincount().min()) if found.metric == "balanced_accuracy" else len(target)
    return 2 * math.sqrt(max(value * (1 - value), 0.01) / rows)


def train_plain(program: Program, watch: Any = None, *, seed: int, most_seconds: float = math.inf) -> float:
    """The metric after a plain loop; minus infinity where it diverged or took too long.

    `watch(network, optimizer)` is a context with `.step(loss)`.
    """
    torch.manual_seed(seed)
    network, (x, y) = program.build_model(), program.train
    if program.spec["loss"] == "binary_cross_entropy" and program.task == "binary":
        y = y[:, None].float()
    options = {k: v for k, v in program.optimizer.items() if k != "name"}
    optimizer = TORCH[program.optimizer["name"]](network.parameters(), **options)
    order, rows, size = torch.Generator().manual_seed(seed), len(y), program.batch_size
    steps, step, started = program.epochs * math.ceil(rows / size), 0, time.thread_time()
    schedule = SCHEDULES.get(program.schedule)
    with watch(network, optimizer) if watch else nullcontext() as watcher:
        for _ in range(program.epochs):
            for batch in torch.randperm(rows, generator=order).split(size):
                if schedule:
                    optimizer.param_groups[0]["lr"] = options["lr"] * schedule.factor(step, steps)
                optimizer.zero_grad()
                loss = program.plain_loss(called(network, take(x, batch)), y[batch])
                loss.backward()
                optimizer.step()
                if watcher is not None:
                    watcher.step(loss)
                step += 1
            if not math.isfinite(float(loss)) or time.thread_time() - started > most_seconds:
                return -math.inf
    network.eval()
    with torch.no_grad():
        return program.metric(called(network, program.validation[0]))


def called(network: nn.Module, x: Any) -> Tensor:
    return network(**x) if isinstance(x, dict) else network(*x) if isinstance(x, tuple) else network(x)  # type: ignore[no-any-return]


def verified(name: str, folder: Path, count: int) -> list[Spec]:
    """The programs of one data set that are healthy on every seed, with what they and the reference reached."""
    found = data(name, folder)
    constant, outputs = constant_of(found), reference_outputs(found)
    shipped = [] if outputs is None else [measure(found, each) for each in outputs]
    programs = [program_of(draw(name, index, found), folder) for index in range(count)]
    reached = {p.id: [train_plain(p, seed=SEEDS[0], most_seconds=MOST_SECONDS)] for p in programs}
    best = max([*shipped, *(values[0] for values in reached.values())])

    def fine(values: list[float], reference: float) -> bool:
        scores = [(value - constant) / (reference - constant) for value in values]
        noise = noise_of(found, reference)
        pairs = zip(values, scores, strict=True)
        return all(s >= SCORE or (s >= NOISY_SCORE and reference - v <= noise) for v, s in pairs)

    for program in programs:
        if reached[program.id][0] > -math.inf and fine(reached[program.id], best):
            reached[program.id] += [train_plain(program, seed=seed) for seed in SEEDS[1:]]
    full = {key: values for key, values in reached.items() if len(values) == len(SEEDS)}
    reference = max([*shipped, *map(median, full.values())], default=-math.inf)
    if reference - constant < max(LEAST_GAIN, noise_of(found, reference) if full else 0):
        return []
    facts = {"metric": found.metric, "constant": round(constant, 4), "reference": round(reference, 4)}
    kept = [p for p in programs if p.id in full and fine(full[p.id], reference)]
    kept = [p for p in kept if fine(full[p.id], max(reference, best_rate(p)))]
    return [p.spec | facts | {"reached": [round(v, 4) for v in full[p.id]]} for p in kept]


def best_rate(program: Program) -> float:
    """The best metric that the program reaches at other rates."""
    own = program.optimizer
    others = [replace(program, optimizer=own | {"lr": factor * own["lr"]}) for factor in OTHER_RATES]
    return max(train_plain(other, seed=SEEDS[0], most_seconds=MOST_SECONDS) for other in others)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--verify", action="store_true")
    parser.add_argument("--only", nargs="+", default=NAMES, help="names of data")
    parser.add_argument("--candidates", type=int, default=CANDIDATES, help="of each data set")
    parser.add_argument("--data", type=Path, default=FILES)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    specs = json.loads(LIST.read_text()) if LIST.is_file() else []
    for name in options.only if options.verify else ():
        try:
            found = verified(name, options.data.resolve(), options.candidates)
        except FileNotFoundError as error:
            print(f"{name}: {error.filename} is not there; what was verified before stays")
            continue
        specs = [spec for spec in specs if spec["data"] != name] + found
        LIST.write_text("[\n" + ",\n".join(map(json.dumps, specs)) + "\n]\n")
        print(f"{name}: {len(found)} of {options.candidates}", flush=True)
    print(f"{len(specs)} programs on {len({spec['data'] for spec in specs})} data sets")


if __name__ == "__main__":
    main()
