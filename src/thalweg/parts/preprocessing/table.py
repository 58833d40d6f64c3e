"""The columns of a table as features: numbers, missing values, categories."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from thalweg.errors import UsageError
from thalweg.parts.optimizers.optimizer import in_range
from thalweg.parts.preprocessing.preparation import Preparation
from thalweg.parts.preprocessing.standardize import Standardize

if TYPE_CHECKING:
    from torch import Tensor

    from thalweg.data.rows import AnyRows, Rows
    from thalweg.parts.preprocessing.encoder import TableEncoder
    from thalweg.parts.preprocessing.measured import Measured
    from thalweg.parts.preprocessing.modules.each import Each
    from thalweg.parts.preprocessing.modules.fitted import Fitted
    from thalweg.parts.preprocessing.modules.table import TablePreprocessing

Categories = Literal["onehot", "ordinal", "frequency", "index"]


@dataclass(frozen=True, kw_only=True)
class Table(Preparation):
    """Every column of a DataFrame as features of the network, inside the model (L12).

    Numbers, booleans and dates are filled where they are missing, then prepared by `numbers`. A column with missing
    values in training adds one that is 1 where the value is missing. Categories become numbers by `categories`. A
    level that is rare in training, one that it did not have, and a missing one share the place "other".

    Args:
        numbers: the part that prepares the numbers; for each column by itself where it leaves that to "auto". None
            leaves them as they are, filled where they are missing.
        missing: what fills a missing number: the "median" or the "mean" of the training rows, or a number.
        indicator: whether a column with missing values in training adds one that says where they are.
        categories: `"onehot"`: one column per level, and one for "other". `"index"`: one column with the place of the
            level, the most frequent first, "other" last, for `nn.Embedding`: a builder's `spec.categories` has the
            sizes, and these columns are the last ones. `"ordinal"`: one
            number, the place of the level in numeric or alphabetical order, prepared as the numbers are ("other" is
            missing). `"frequency"`: one number, the share of the training rows that the level has, prepared likewise.
        max_levels: largest number of levels of a category, at least 2; of one with more, the `max_levels − 1` most
            frequent keep their own.
        min_rows: a level that fewer training rows have is "other"; at least 1.

    Raises:
        UsageError: for a value out of range, or when fitted on inputs that are no table.

    >>> import pandas as pd, torch
    >>> from thalweg.data.rows import Rows
    >>> from thalweg.parts.preprocessing.encoder import TableEncoder
    >>> frame = pd.DataFrame({"age": [30.0, None, 50.0, 40.0], "job": ["cook", "clerk", "cook", "cook"]})
    >>> encoder = TableEncoder.fit(frame)
    >>> rows = Rows(encoder.encode(frame), torch.zeros(4), torch.arange(4), "train")
    >>> table = Table().fit_table(rows, encoder)
    >>> table.names
    ('age', 'age is missing', 'job=cook', 'job=clerk', 'job=other')
    >>> table(encoder.encode(pd.DataFrame({"age": [30, None], "job": ["cook", "pilot"]})))
    tensor([[-1.4142,  0.0000,  1.0000,  0.0000,  0.0000],
            [ 0.0000,  1.0000,  0.0000,  0.0000,  1.0000]])

    Source: lecture row L12. As scikit-learn's ColumnTransformer of SimpleImputer, StandardScaler and OneHotEncoder.
    Nothing looks at the target. PyTorch has none.
    """

    numbers: Preparation | None = Standardize(per="column")  # noqa: RUF009  (frozen)
    missing: Literal["median", "mean"] | float = "median"
    indicator: bool = True
    categories: Categories = "onehot"
    max_levels: int = 50
    min_rows: int = 1

    title: ClassVar[str] = "The preprocessing of a table"
    for_targets: ClassVar[bool] = False

    def __post_init__(self) -> None:
        part = isinstance(self.numbers, Preparation) and not isinstance(self.numbers, Table)
        self._check("numbers", self.numbers is None or part, "None, or a part of tw.preprocessing other than Table")
        number = self.missing in ("median", "mean") or in_range(self.missing, -1e30, 1e30)
        self._check("missing", number, "'median', 'mean' or a number")
        self._check("indicator", isinstance(self.indicator, bool), "True or False")
        known = ("onehot", "ordinal", "frequency", "index")
        self._check("categories", self.categories in known, ", ".join(map(repr, known)))
        self._check(
            "max_levels", isinstance(self.max_levels, int) and in_range(self.max_levels, 2), "an integer from 2"
        )
        self._check("min_rows", isinstance(self.min_rows, int) and in_range(self.min_rows, 1), "an integer from 1")

    def fit_table(self, rows: "Rows", encoder: "TableEncoder") -> "TablePreprocessing":
        """The module for rows that the encoder made. Raises `DataError` for validation and test rows."""
        from thalweg.parts.preprocessing.modules.table import fit_table

        return fit_table(self, rows, encoder)

    def measure(self, rows: "AnyRows") -> "Measured":
        """Raises `UsageError`, as `fit` does: a table is fitted with its encoder."""
        raise NO_TABLE

    def _fit(self, rows: "AnyRows", before: "Fitted | Each | None") -> "Fitted | Each":
        raise NO_TABLE

    def start(self, num_columns: int) -> Any:
        raise NO_TABLE

    def finish(self, state: Any, sample: "Tensor") -> "Fitted":
        raise NO_TABLE


NO_TABLE = UsageError(
    "preprocessing.Table is for a DataFrame or the path of a table. For tensors take Standardize, MinMax, Robust, Log, "
    "Power, PCA, ZCA or a Chain of these."
)
