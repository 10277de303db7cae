"""The table of ``nas cost`` in the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from nas.report import formatting as fmt
from nas.report.terminal import default_console


def print_cost(table: dict[str, Any], console: Console | None = None) -> None:
    """Totals, what was published beside them, and a row a layer; for a space, its range."""
    out = console or default_console()
    name = table.get("name") or table.get("key") or table.get("space") or "module"
    if table["kind"] == "space":
        out.print(f"{name}: {table['decisions']} decisions, at {table['image_size']} px", highlight=False)
        for edge in ("smallest", "largest"):
            if edge in table:
                figures = ", ".join(f"{bound} {value:,.0f}" for bound, value in table[edge].items())
                out.print(f"  {edge} reachable, each alone: {figures}", highlight=False)
        return
    parameters, flops = table["parameters"], table["flops"]  # as papers write them, unless that would say 0.0
    out.print(
        f"{name} at {table['image_size']} px: {f'{parameters / 1e6:.3f} M' if parameters >= 1e5 else f'{parameters:,}'} parameters, "
        f"{f'{flops / 1e6:,.1f} MFLOPs' if flops >= 1e6 else fmt.flops(flops)} (multiply–accumulates), "
        f"{fmt.size(table['memory'])} of activations, {table.get('diversity', '–')} layer configurations",
        highlight=False,
    )
    for figure, value in table.get("published", {}).items():
        note = table["published_notes"].get(figure, "")
        out.print(
            f"  published {figure}: {value:,.0f} ({table['difference'][figure]:+.2%} here){note and f'; {note}'}",
            highlight=False,
        )
    if "latency_ms" in table:
        time = table["latency_ms"]
        out.print(
            f"  measured: {time['median']:.3g} ms for one image (95 % interval of the median {time['low']:.3g} to {time['high']:.3g}; "
            f"tenth to ninetieth percentile {time['tenth']:.3g} to {time['ninetieth']:.3g}; {time['passes']} passes, "
            f"{time['device']}, {time['threads']} threads)",
            highlight=False,
        )
    if table.get("layers"):
        shown = Table()
        for title in ("layer", "configuration", "output", "FLOPs", "parameters"):
            shown.add_column(title, overflow="fold")  # a narrow terminal cuts no name and no figure
        for row in table["layers"]:
            size = "×".join(str(side) for side in row.get("output", ()))
            shown.add_row(row["name"], row["configuration"], size, f"{row['flops']:,}", f"{row['parameters']:,}")
        out.print(shown)
