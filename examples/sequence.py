"""Which of 18 languages is a surname from? 20,050 names of 2 to 20 letters, classes from 73 to 9,384 rows.

thalweg train examples/sequence.py
"""

import pandas as pd
import torch
from _folder import data_file
from torch import Tensor
from torch.utils.data import Dataset

SOURCE = "names in 18 languages (github.com/spro/practical-pytorch, data/names), as columns name and language"
table = pd.read_csv(data_file("names_18_languages.tsv.gz", SOURCE), sep="\t", keep_default_na=False)
LETTERS = {letter: i for i, letter in enumerate(sorted(set("".join(table["name"]))), start=1)}  # 0 pads


class Names(Dataset[tuple[Tensor, str]]):
    """Pairs of letters `[length]` and a language."""

    def __init__(self, names: pd.Series, languages: pd.Series) -> None:
        self.letters = [torch.tensor([LETTERS[letter] for letter in name]) for name in names]
        self.targets = list(languages)

    def __len__(self) -> int:
        return len(self.letters)

    def __getitem__(self, row: int) -> tuple[Tensor, str]:
        return self.letters[row], self.targets[row]
