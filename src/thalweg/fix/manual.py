"""What no plan and no change of a network mends: labels, a leaking split, the user's own loop, with lines to change."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from thalweg.findings import Finding

# The lines that mend what a rule of this code found.
LINES: dict[str, tuple[str, ...]] = {
    "LOOP01": ("optimizer.zero_grad()", "loss.backward()", "optimizer.step()"),
    "LOOP02": ("loss.backward()                  # not (-loss).backward()", "torch.optim.SGD(..., maximize=False)"),
    "LOOP03": ("optimizer = torch.optim.AdamW(model.parameters(), lr=...)   # after all layers are made",),
    "LOOP04": ("model.train()                    # before the batches of each epoch",),
    "LOOP05": ("model.eval()                     # before the validation, and model.train() after it",),
    "LOOP06": ("optimizer.zero_grad()", "loss.backward()", "optimizer.step()"),
    "LOOP07": ("DataLoader(train, batch_size=..., shuffle=True)",),
    "LOOP08": ("scheduler.step()                 # once per epoch, outside the loop over batches",),
    "LOOP09": ("for x, y in loader:              # inputs and targets from one iterator",),
    "LOOP10": ("scaler.unscale_(optimizer)", "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)"),
    "LABEL01": ("table = inputs.join(labels, on='id')   # one key for both, then no sort of one alone",),
    "LABEL03": ("tw.Experiment(..., class_weights='balanced')",),
    "DATA03": ("print(y[:20], y.unique())        # before and after each step that touches labels",),
    "DATA04": ("tw.Experiment(..., groups=keys)      # one key per different row keeps copies in one part",),
    "DATA06": ("x_validation = prepare(x_validation)   # the very function that made x_train",),
    "DATA10": ("tw.Experiment(..., groups=...)   # a key for what belongs together",),
    "DATA11": ("DataLoader(train, batch_size=..., shuffle=True)",),
    "DATA12": ("tw.Experiment(..., groups=..., time=...)   # the split that the use asks for",),
    "LR03": ("table = inputs.join(labels, on='id')",),
    "GRAD01": ("self.layers = nn.ModuleList(layers)    # a plain list hides parameters from the optimizer",),
}


@dataclass(frozen=True)
class Manual:
    """One thing to do by hand.

    Args:
        code: of the rule.
        text: what to do, as the finding says it.
        lines: code that does it.
    """

    code: str
    text: str
    lines: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def by_hand(findings: Sequence[Finding], mended: Sequence[str]) -> tuple[Manual, ...]:
    """What the findings leave to the user, once for each rule: those whose cause no accepted change mends.

    Args:
        findings: of the run; notes are left out.
        mended: causes that accepted changes mend.
    """
    found: dict[str, Manual] = {}
    for finding in findings:
        if finding.severity == "note" or finding.cause in mended or finding.code in found:
            continue
        manual = [r for r in finding.remedies if r.safety == "manual"]
        if not manual and finding.code not in LINES:
            continue
        remedies = manual or list(finding.remedies)
        if not remedies:
            continue
        found[finding.code] = Manual(finding.code, remedies[0].text, LINES.get(finding.code, ()))
    return tuple(found.values())
