"""Spoken digits: 3,000 recordings of 0.1 to 2.3 s by 6 speakers, split by speaker; the spectra are part of the model.

thalweg train examples/audio.py
"""

import numpy as np
import torch
from _folder import data_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

import thalweg as tw

SOURCE = "the Free Spoken Digit Dataset (github.com/Jakobovski/free-spoken-digit-dataset): pcm, offsets, label, speaker"
sounds = np.load(data_file("spoken_digits_8khz.npz", SOURCE))
RATE, WINDOW, HOP, BANDS = 8000, 256, 160, 32
LONGEST = RATE  # 99 % of the recordings are shorter than a second; the others are cut


class Recordings(Dataset[tuple[Tensor, int]]):
    """Pairs: a recording `[samples]`, each as loud as the others, and its digit."""

    def __init__(self, rows: np.ndarray) -> None:
        pcm, offsets = torch.from_numpy(sounds["pcm"]), sounds["offsets"]
        recordings = [pcm[offsets[i] : offsets[i + 1]][:LONGEST].float() for i in rows]
        self.sounds = [recording / recording.square().mean().sqrt() for recording in recordings]
        self.targets = torch.from_numpy(sounds["label"][rows].astype(np.int64))

    def __len__(self) -> int:
        return len(self.sounds)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self.sounds[row], int(self.targets[row])


def pad(rows: list[tuple[Tensor, int]]) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Recordings `[rows, longest]` with their lengths, and digits."""
    recordings, digits = zip(*rows, strict=True)
    lengths = torch.tensor([len(recording) for recording in recordings])
    return (pad_sequence(list(recordings), batch_first=True), lengths), torch.tensor(digits)


def mel_filters(bands: int = BANDS) -> Tensor:
    """Triangles `[bands, WINDOW // 2 + 1]`, equally wide on the mel scale."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    hertz, below, center, above = (
        np.linspace(0, RATE / 2, WINDOW // 2 + 1),
        *(edges[i : bands + i, None] for i in range(3)),
    )
    triangles = np.minimum((hertz - below) / (center - below), (above - hertz) / (above - center))
    return torch.from_numpy(triangles.clip(0).astype(np.float32))


class Listener(nn.Module):
    """Log-mel spectra without the mean of each recording (its microphone), then convolutions over time and pitch."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(WINDOW))
        self.register_buffer("filters", mel_filters())
        self.blocks = nn.ModuleList([block(1, width), block(width, 2 * width), block(2 * width, 4 * width)])
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(4 * width * (BANDS // 8), 10)

    def log_mel(self, sound: Tensor) -> Tensor:
        """`[rows, BANDS, frames]`. In training each recording has noise of its own under it, up to 300-fold apart."""
        power = torch.stft(sound, WINDOW, HOP, window=self.window, return_complex=True).abs().square()
        decades = torch.rand(len(sound), 1, 1, device=sound.device) if self.training else 0.5
        return (self.filters @ power + 10 ** (2.5 * decades - 2)).log()

    def spectra(self, sound: Tensor, heard: Tensor) -> Tensor:
        """The same with mean 0 in each band and deviation 1 over the frames that are heard, and 0 in the others."""
        log = self.log_mel(sound)
        count = heard.sum(2, keepdim=True)
        log = (log - (log * heard).sum(2, keepdim=True) / count) * heard
        return log / (log.square().sum((1, 2), keepdim=True) / (BANDS * count)).sqrt().clamp(min=1e-3)

    def forward(self, sound: Tensor, length: Tensor) -> Tensor:
        frames = torch.arange(sound.shape[1] // HOP + 1, device=sound.device)
        heard = (frames <= length[:, None] // HOP)[:, None].float()
        features = self.spectra(sound, heard)
        if self.training:
            features, heard = other_voice(features, heard)
        features = features[:, None]
        for layer in self.blocks:
            heard = F.max_pool1d(heard, 2)
            features = layer(features) * heard[:, None]
        return self.head(self.dropout(features.amax(3).flatten(1)))


def other_voice(spectra: Tensor, heard: Tensor) -> tuple[Tensor, Tensor]:
    """Each recording up to 3 bands higher or lower, all of them spoken 0.8 to 1.25 times as long."""
    shift = torch.randint(-3, 4, (len(spectra), 1), device=spectra.device)
    bands = (torch.arange(BANDS, device=spectra.device) + shift).clamp(0, BANDS - 1)
    spectra = spectra.gather(1, bands[:, :, None].expand_as(spectra))
    size = max(8, int(spectra.shape[2] * (0.8 + 0.45 * float(torch.rand(())))))
    return F.interpolate(spectra, size=size, mode="linear"), F.interpolate(heard, size=size)


def block(channels: int, width: int) -> nn.Module:
    convolution = nn.Conv2d(channels, width, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.MaxPool2d(2), nn.BatchNorm2d(width), nn.ReLU())


experiment = tw.Experiment(
    Listener,
    train=Recordings(np.arange(len(sounds["label"]))),
    collate=pad,
    groups=sounds["speaker"],
    loss="cross_entropy",
    metrics=["balanced_accuracy"],
)
plan = tw.Plan(epochs=20)
