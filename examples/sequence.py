"""Which of 18 languages is a surname from? 20,050 names of 2 to 20 letters, classes of 73 to 9,384 names.

A name that occurs several times, or in several languages, stays in one part of the split: 13 % of the rows repeat one.

thalweg train examples/sequence.py
"""

import pandas as pd
import torch
from _folder import data_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

import thalweg as tw

SOURCE = "names in 18 languages (github.com/spro/practical-pytorch, data/names) as columns name and language"
table = pd.read_csv(data_file("names_18_languages.tsv.gz", SOURCE), sep="\t", keep_default_na=False)
FILL, EDGE = 0, 1  # where a name is shorter than others of its batch; before and after a name
letters = {letter: i for i, letter in enumerate(sorted(set("".join(table["name"]))), start=2)}


class Names(Dataset[tuple[Tensor, int]]):
    """Pairs: the letters of a name `[length]`, edges included, the number of its language."""

    def __init__(self, names: pd.Series, languages: pd.Series) -> None:
        self.names = [torch.tensor([EDGE, *(letters[letter] for letter in name), EDGE]) for name in names]
        self.targets = torch.tensor(languages.astype("category").cat.codes.to_numpy(), dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self.names[row], int(self.targets[row])


def pad(rows: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
    """Letters `[rows, length of the longest]`, languages."""
    names, languages = zip(*rows, strict=True)
    return pad_sequence(list(names), batch_first=True, padding_value=FILL), torch.tensor(languages)


class Reader(nn.Module):
    """Looks for pieces of 2, 3 and 4 letters, wherever they stand, and keeps how well each fits best."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.embed = nn.Embedding(len(letters) + 2, 32, padding_idx=FILL)
        self.hide = nn.Dropout(0.4)
        self.pieces = nn.ModuleList(nn.Conv1d(32, width, size) for size in (2, 3, 4))
        self.head = nn.Sequential(nn.BatchNorm1d(3 * width), nn.ReLU(), nn.Dropout(0.5), nn.Linear(3 * width, 18))

    def forward(self, names: Tensor) -> Tensor:
        filling = (names == FILL)[:, None]  # a piece that begins there is none: a name alone reads as in any batch
        features = F.pad(self.hide(self.embed(names)).mT, (0, 3))
        fits = [piece(features)[..., : names.shape[1]] for piece in self.pieces]
        return self.head(torch.cat([fit.masked_fill(filling, -torch.inf).amax(2) for fit in fits], 1))


experiment = tw.Experiment(
    Reader,
    train=Names(table["name"], table["language"]),
    collate=pad,
    groups=table["name"].to_numpy(),
    loss="cross_entropy",
    class_weights="balanced",
    metrics=["balanced_accuracy", "accuracy"],
)
plan = tw.Plan(epochs=30, selection="balanced_accuracy")  # what is wanted, also where the loss rises
