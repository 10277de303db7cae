"""The loop that most scripts have: DataLoader with workers, torchvision transforms per image, float32, channels first."""

from __future__ import annotations

import importlib
import time

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from baselines.torchvision_import import import_torchvision


class _Images(Dataset):
    def __init__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        import_torchvision()
        transforms = importlib.import_module("torchvision.transforms")
        self.images, self.labels = images, labels
        self.transform = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.RandomHorizontalFlip(),
                transforms.RandomAffine(
                    10, translate=(0.1, 0.1), scale=(0.85, 1.15), interpolation=transforms.InterpolationMode.BILINEAR
                ),
                transforms.ColorJitter(brightness=0.1, contrast=0.1),
                transforms.ToTensor(),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.transform(self.images[index]), self.labels[index]


def textbook_rate(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, batch: int, device: torch.device, epochs: int = 3
) -> float:
    """Images per second of the textbook loop: the best epoch after the first, which pays for starting the workers."""
    loader = DataLoader(
        _Images(images, labels), batch_size=batch, shuffle=True, num_workers=2, persistent_workers=True, drop_last=True
    )
    model = model.to(device, memory_format=torch.contiguous_format).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    rates = []
    for _ in range(epochs + 1):
        started, seen, total = time.perf_counter(), 0, 0.0
        for inputs, targets in loader:
            inputs, targets = inputs.to(device), targets.to(device)
            optimiser.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimiser.step()
            total += loss.item()
            seen += len(inputs)
        rates.append(seen / (time.perf_counter() - started))
    return max(rates[1:])
