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


class TextbookLoop:
    """The loop, an epoch at a time; the workers persist, so that only the first epoch pays for starting them."""

    def __init__(self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor, batch: int, device: torch.device) -> None:
        self.loader = DataLoader(
            _Images(images, labels), batch_size=batch, shuffle=True, num_workers=2, persistent_workers=True, drop_last=True
        )
        self.model, self.device = model.to(device).train(), device
        self.optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
        self.criterion = nn.CrossEntropyLoss()

    def epoch(self) -> float:
        """Train an epoch; images per second."""
        started, seen, total = time.perf_counter(), 0, 0.0
        for images, labels in self.loader:
            inputs, targets = images.to(self.device), labels.to(self.device)
            self.optimiser.zero_grad()
            loss = self.criterion(self.model(inputs), targets)
            loss.backward()
            self.optimiser.step()
            total += loss.item()
            seen += len(inputs)
        return seen / (time.perf_counter() - started)
