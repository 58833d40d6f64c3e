"""What of a network is a hidden matrix, which Muon moves, and what is not: found in its graph and its layers."""

import copy
import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn

from thalweg.data.noise import global_rng_kept
from thalweg.errors import UsageError, did_you_mean
from thalweg.parts.optimizers.as_torch import RuleOptimizer, group_of

if TYPE_CHECKING:
    from thalweg.parts.optimizers.muon import Muon

Places = dict[int, str]  # id of a parameter -> why AdamW moves it; "" where Muon does
HEAD, EMBEDDING, VECTOR, GROUPED = "output layer", "embedding", "vectors", "grouped convolution"
ADDED, NAMED = "added, not multiplied by", "named"
NORMS = (nn.LayerNorm, nn.RMSNorm)  # their scales may have several dimensions
# What takes a tensor entry by entry: a matrix among its arguments, such as learned positions, multiplies nothing.
ENTRYWISE = (operator.add, operator.sub, operator.mul, torch.add, torch.sub, torch.mul, torch.cat, "add", "sub", "mul")


def places(network: nn.Module, named: Iterable[str] = ()) -> Places:
    """Where every parameter of the network goes. A tied parameter is an embedding where one of its layers is.

    Raises:
        UsageError: for a name that the network does not have.
    """
    heads, added = seen_in_graph(network)
    found = {id(p): "" if is_matrix(p) else VECTOR for p in network.parameters()}
    found |= {id(p): ADDED for p in added if is_matrix(p)}
    found |= {id(p): HEAD for p in heads}
    for module in network.modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            found[id(module.weight)] = EMBEDDING
        elif isinstance(module, NORMS):
            found |= {id(p): VECTOR for p in module.parameters()}
        elif isinstance(module, nn.modules.conv._ConvNd) and module.groups > 1 and not found[id(module.weight)]:
            found[id(module.weight)] = GROUPED
    for name in named:
        found |= {id(p): found[id(p)] or NAMED for p in under(network, name)}
    return found


def under(network: nn.Module, name: str) -> list[nn.Parameter]:
    """The parameter of this name, or those of the module of this name."""
    own = dict(network.named_parameters(remove_duplicate=False))
    found = [p for key, p in own.items() if key == name or key.startswith(f"{name}.")]
    if not found:
        known = [*own, *(key for key, _ in network.named_modules())]
        raise UsageError(
            f"Muon got also_adamw={name!r}, and {type(network).__name__} has no parameter or module of that name."
            f"{did_you_mean(name, known)} It has: {', '.join(list(own)[:8])}, ..."
        )
    return found


# ---------------------------------------------------------------------- the output layers


def seen_in_graph(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The matrices of the output layers, and those that are only added; by order of definition where there is no graph.

    An output layer is one after which no other comes on the way to the output.
    """
    try:
        graph = graph_of(network)
    except Exception:  # of a forward pass that depends on values, torch.fx fails in many ways
        return last_matrix(network), []
    weights, added = weights_in(graph, network)
    followed: set[fx.Node] = set()
    heads: list[nn.Parameter] = []
    for node in reversed(graph.nodes):
        if any(weights.get(user) or user in followed for user in node.users):
            followed.add(node)
        else:
            heads += weights.get(node, [])
    return heads, added


def graph_of(network: nn.Module) -> fx.Graph:
    """The graph of the forward pass, without data; traced on a copy that shares the parameters."""
    shared = {id(p): p for p in network.parameters()}
    with global_rng_kept():
        return fx.Tracer().trace(copy.deepcopy(network, shared))


def weights_in(graph: fx.Graph, network: nn.Module) -> tuple[dict[fx.Node, list[nn.Parameter]], list[nn.Parameter]]:
    """The matrices that each node multiplies by, and those that are only added."""
    fixed: dict[fx.Node, list[nn.Parameter]] = {}  # nodes that depend on parameters alone, and their matrices
    weights: dict[fx.Node, list[nn.Parameter]] = {}
    added: list[nn.Parameter] = []
    for node in graph.nodes:
        if node.op == "call_module":
            weights[node] = last_matrix(network.get_submodule(str(node.target)))
        elif node.op == "get_attr":
            fixed[node] = matrices(attribute(network, str(node.target)))
        elif node.op not in ("placeholder", "output"):
            given = [p for source in node.all_input_nodes for p in fixed.get(source, [])]
            if all(source in fixed for source in node.all_input_nodes):
                fixed[node] = given
            elif node.target in ENTRYWISE:
                added += given
            else:
                weights[node] = given
    multiplied = {id(p) for own in weights.values() for p in own}
    return weights, [p for p in added if id(p) not in multiplied]


def attribute(network: nn.Module, path: str) -> Any:
    owner, _, name = path.rpartition(".")
    return getattr(network.get_submodule(owner), name)


def matrices(value: Any) -> list[nn.Parameter]:
    return [value] if isinstance(value, nn.Parameter) and value.dim() >= 2 else []


def is_matrix(parameter: torch.Tensor) -> bool:
    """Whether it has two rows and two columns at least, a convolution's weight as `[out, in · height · width]`."""
    return parameter.dim() >= 2 and min(len(parameter), parameter[0].numel()) > 1


def last_matrix(network: nn.Module) -> list[nn.Parameter]:
    """The last matrix in the order of definition, in a list: of a layer that holds several, such as an attention."""
    if isinstance(network, NORMS):
        return []
    return [p for p in network.parameters() if p.dim() >= 2][-1:]


# ---------------------------------------------------------------------- text and torch's form


def described(network: nn.Module, found: Places) -> str:
    """Who moves what, a line for each rule."""
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    lines = []
    for rule, own in (
        ("Muon", [x for x in named if not found[id(x[1])]]),
        ("AdamW", [x for x in named if found[id(x[1])]]),
    ):
        if own:
            count = f"{len(own)} tensor{'s' if len(own) > 1 else ''}"
            lines.append(f"{rule} moves {count} of {sum(p.numel() for _, p in own):,} numbers: {listed(own, found)}")
    return "\n".join(lines)


def listed(own: list[tuple[str, nn.Parameter]], found: Places) -> str:
    """The names, grouped by the reason: `head.weight (output layer), 0.bias, 2.bias (vectors)`."""
    reasons = list(dict.fromkeys(found[id(p)] for _, p in own))
    order = [r for r in (HEAD, EMBEDDING, GROUPED, ADDED, NAMED, VECTOR, "") if r in reasons]
    texts = []
    for reason in order:
        names = ", ".join(name for name, p in own if found[id(p)] == reason)
        texts.append(f"{names} ({reason})" if reason else names)
    return ", ".join(texts)


def build(part: "Muon", params: "Iterable[Any] | nn.Module") -> RuleOptimizer:
    """Muon and AdamW in one torch optimizer, of a module or by shapes and names."""
    if isinstance(params, nn.Module):
        trainable = [(name, p) for name, p in params.named_parameters() if p.requires_grad]
        found = places(params, part.also_adamw)
        groups: list[dict[str, Any]] = [{"params": trainable}]
    else:
        given = list(params)
        groups = given if given and isinstance(given[0], dict) else [{"params": given}]
        found = {}
    routed: list[dict[str, Any]] = []
    for group in groups:
        inner = group["params"]
        members = [inner] if isinstance(inner, torch.Tensor) else list(inner)
        rest = {key: value for key, value in group.items() if key != "params"}
        for rule, is_muons in ((part, True), (part.adamw, False)):
            own = [member for member in members if is_hidden(member, found, part.also_adamw) == is_muons]
            if own:
                routed.append(group_of(rule) | rest | {"params": own})
    return RuleOptimizer(routed, part, part.adamw)


def is_hidden(member: Any, found: Places, named: Iterable[str]) -> bool:
    """Whether Muon moves a parameter or a named one: as `found` says, else by its shape and name."""
    name, parameter = member if isinstance(member, tuple) else ("", member)
    if found:
        return not found[id(parameter)]
    return is_matrix(parameter) and not any(name == each or name.startswith(f"{each}.") for each in named)
