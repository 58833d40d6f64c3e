"""One probability for all dropout of a network, as `Plan.dropout` asks (L30)."""

from torch import nn

from thalweg.parts.regularizers.recognize import noises


def set_dropout(network: nn.Module, p: float) -> list[str]:
    """Gives every dropout of outputs the probability `p`, in place; returns the places.

    Set are torch's dropout modules and ours (channel and alpha too), the `dropout` of attention and of recurrent layers
    with several layers, and a number `dropout` or `dropout_p` of any other module. Stochastic depth and DropConnect
    keep their own: their rates are of branches and weights, and often grow with depth.

    Args:
        network: whose modules are changed.
        p: probability of being dropped, from 0 to below 1.

    >>> net = nn.Sequential(nn.Dropout(0.5), nn.MultiheadAttention(4, 2), nn.LSTM(4, 4))
    >>> set_dropout(net, 0.1), net[0].p, net[1].dropout, net[2].dropout
    (['0', '1.dropout'], 0.1, 0.1, 0.0)
    """
    found = [noise for noise in noises(network) if noise.what == "outputs"]
    for noise in found:
        setattr(noise.module, noise.attribute, p)
    return [noise.place for noise in found]
