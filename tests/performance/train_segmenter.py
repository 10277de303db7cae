"""Train the lung segmenter that ships with the toolkit, on generated pictures only; resumable.

    python tests/performance/train_segmenter.py --state /tmp/segmenter.pt --steps 4000
    python tests/performance/train_segmenter.py --evaluate path/to/metadata.csv --out tests/performance/results/segmenter.json

The second command compares it with real masks: columns file, mask, mask_origin, source of a ``table`` data set.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
import torch.nn.functional as functional
from safetensors.torch import save
from torch import Tensor

from nas.data.segmenter.generator import varied_chests
from nas.data.segmenter.inference import WEIGHTS, segment
from nas.data.segmenter.network import SIZE, LungNet, prepare
from nas.files import write_bytes, write_json

_BATCH = 16
_POOL = 1024  # pictures generated at once; each is seen about twice, changed every time


def main() -> None:
    """Read the command line and train or evaluate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, default=Path("segmenter-state.pt"))
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--evaluate", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.evaluate:
        evaluate(arguments.evaluate, arguments.out)
    else:
        train(arguments.state, arguments.steps, arguments.seed)


def train(state_file: Path, steps: int, seed: int) -> None:
    """Train from the last saved state up to ``steps`` and write the weights."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    net = LungNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    optimiser = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=steps, pct_start=0.15)
    step, every = 0, _POOL * 2 // _BATCH
    if state_file.exists():
        saved = torch.load(state_file, weights_only=True)
        net.load_state_dict(saved["net"])
        optimiser.load_state_dict(saved["optimiser"])
        schedule.load_state_dict(saved["schedule"])
        step = saved["step"]
    net.train()
    while step < steps:
        pool = varied_chests(_POOL, SIZE, seed=seed + 1000 + step // every)
        images = torch.from_numpy(pool[0])[:, None]
        masks = torch.from_numpy(pool[1])[:, None]
        started, losses = time.monotonic(), []
        generator = torch.Generator().manual_seed(seed * 100_003 + step)
        for _ in range(min(every, steps - step)):
            rows = torch.randint(0, _POOL, (_BATCH,), generator=generator)
            x, y = augment(images[rows].float() / 255, masks[rows].float(), generator)
            loss = objective(net(prepare(x).to(memory_format=torch.channels_last)), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(float(loss.detach()))
        step += len(losses)
        pace = _BATCH * len(losses) / (time.monotonic() - started)
        print(f"step {step} loss {sum(losses) / len(losses):.4f} {pace:.0f} images/s", flush=True)
        torch.save(
            {"net": net.state_dict(), "optimiser": optimiser.state_dict(), "schedule": schedule.state_dict(), "step": step},
            state_file,
        )
        export(net)


def export(net: LungNet) -> None:
    """Write the weights as half-precision safetensors."""
    weights = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in net.state_dict().items()
    }
    write_bytes(WEIGHTS, save(weights))


def objective(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy plus soft Dice."""
    chance = logits.sigmoid()
    overlap = (chance * target).sum((1, 2, 3))
    dice = (2 * overlap + 1) / (chance.sum((1, 2, 3)) + target.sum((1, 2, 3)) + 1)
    return functional.binary_cross_entropy_with_logits(logits, target) + (1 - dice).mean()


def augment(images: Tensor, masks: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Another geometry and tone for each picture: flip, turn, stretch, crop, occlusion, gamma, inverse-free contrast."""
    n = len(images)

    def random(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, generator=generator)

    angle, zoom, stretch = random(-0.17, 0.17), random(0.72, 1.2), random(-0.12, 0.12).exp()
    flip = torch.where(random(0, 1) < 0.3, -1.0, 1.0)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1], theta[:, 0, 2] = (
        flip * angle.cos() * zoom * stretch,
        -angle.sin() * zoom,
        random(-0.15, 0.15),
    )
    theta[:, 1, 0], theta[:, 1, 1], theta[:, 1, 2] = angle.sin() * zoom, angle.cos() * zoom / stretch, random(-0.15, 0.15)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    bend = torch.randn(n, 2, 4, 4, generator=generator) * 0.03
    grid = grid + functional.interpolate(bend, size=images.shape[2:], mode="bicubic", align_corners=False).permute(0, 2, 3, 1)
    images = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    masks = functional.grid_sample(masks, grid, padding_mode="zeros", align_corners=False)
    images = images.clamp_min(1e-4) ** random(-0.5, 0.5).exp()[:, None, None, None]
    small = functional.interpolate(images, scale_factor=0.5, mode="area")
    coarse = functional.interpolate(small, size=images.shape[2:], mode="bilinear", align_corners=False)
    images = torch.where((random(0, 1) < 0.2)[:, None, None, None], coarse, images)
    return images.clamp(0, 1), (masks > 0.5).float()


def evaluate(table: Path, out: Path | None) -> None:
    """Dice with the table's masks, by source and origin of the mask; images without a segmentation are counted."""
    import csv

    import numpy as np
    from PIL import Image

    def square(name: str, resample: Image.Resampling) -> np.ndarray:
        picture = Image.open(table.parent / name).convert("L").resize((256, 256), resample)
        return np.asarray(picture)

    cells: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(table.open()):
        if row["mask"]:
            cells.setdefault(f"{row['source']}/{row['mask_origin']}", []).append(row)
    results = {}
    for cell, rows in sorted(cells.items()):
        truth = np.stack([square(row["mask"], Image.Resampling.NEAREST) for row in rows]) > 0
        images = np.stack([square(row["file"], Image.Resampling.BOX) for row in rows])[:, None]
        masks, ok, reasons = segment(images)
        dice = 2 * (masks[:, 0] & truth).sum((1, 2)) / (masks[:, 0].sum((1, 2)) + truth.sum((1, 2)))
        results[cell] = {
            "images": len(rows),
            "kept": int(ok.sum()),
            "mean Dice of kept": round(float(dice[ok].mean()), 4) if ok.any() else None,
            "median": round(float(np.median(dice[ok])), 4) if ok.any() else None,
            "10th percentile": round(float(np.quantile(dice[ok], 0.1)), 4) if ok.any() else None,
            "mean Dice of removed": round(float(dice[~ok].mean()), 4) if not ok.all() else None,
            "reasons": {reason: reasons.count(reason) for reason in sorted(set(reasons)) if reason},
        }
        print(cell, results[cell], flush=True)
    if out:
        write_json(out, {"command": "python tests/performance/train_segmenter.py --evaluate TABLE --out FILE", "dice": results})


if __name__ == "__main__":
    main()
