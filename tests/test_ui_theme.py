"""The palette: enough contrast in light and dark, and statuses that a colour-blind viewer tells apart."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from fastllm.ui.theme import PLAYER_SHEET, STATUSES, STYLE_SHEET, SURFACES, TINT, css, launch_options

# Machado, Oliveira and Fernandes (2009), severity 1.
VISION = {
    "normal": np.eye(3),
    "deuteranope": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
    ),
    "protanope": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
}


def linear(colour: str) -> np.ndarray:
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(a: str, b: str) -> float:
    """WCAG 2 contrast ratio."""
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (a, b))
    return (high + 0.05) / (low + 0.05)


def tint(colour: str, ground: str) -> str:
    """`colour` mixed into `ground` as style.css does, in sRGB."""
    parts = [round(TINT * int(colour[i : i + 2], 16) + (1 - TINT) * int(ground[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{p:02x}" for p in parts)


def lab(rgb: np.ndarray) -> np.ndarray:
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = (
        np.cbrt(t) if t > 0.008856 else 7.787 * t + 16 / 116 for t in matrix @ np.clip(rgb, 0, 1) / [0.9505, 1, 1.089]
    )
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("dark", [0, 1])
def test_text_has_enough_contrast(dark):
    """4.5:1 for every status on the panel and on its own tint (a bonus is the panel's colour on its own), and more."""
    surface = {name: pair[dark] for name, pair in SURFACES.items()}
    for status in STATUSES.values():
        colour = status.dark if dark else status.light
        assert contrast(colour, surface["panel"]) >= 4.5, status.name
        if status.name in ("rejected", "resampled"):
            assert contrast(colour, tint(colour, surface["panel"])) >= 4.5, status.name
    for text, ground in itertools.product(("ink", "muted", "warn", "error"), ("panel", "page")):
        assert contrast(surface[text], surface[ground]) >= 4.5, (text, ground)
    assert contrast(surface["on_accent"], surface["accent"]) >= 4.5
    for ground in ("panel", "page"):  # the player's outlines and bars are told from their ground
        assert contrast(surface["accent"], surface[ground]) >= 4.5, ground


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("dark", [0, 1])
def test_the_five_statuses_differ_for_colour_blind_viewers(vision, dark):
    """At least 14 in CIELAB between any two of the five for each kind of vision (about 2 is just noticeable)."""
    seen = {
        s.name: lab(VISION[vision] @ linear(s.dark if dark else s.light))
        for s in STATUSES.values()
        if s.name != "target"
    }
    distances = {(a, b): float(np.linalg.norm(seen[a] - seen[b])) for a, b in itertools.combinations(seen, 2)}
    assert min(distances.values()) >= 14, min(distances, key=distances.get)


def test_the_style_sheet_knows_every_status_and_no_colour_of_its_own():
    """Each status has a rule, every variable in use is emitted for light and dark, and no colour stands in it."""
    sheet = STYLE_SHEET.read_text(encoding="utf-8")
    for name in STATUSES:
        assert re.search(rf"\.fl-{name} {{", sheet), name
    sheet += PLAYER_SHEET.read_text(encoding="utf-8")
    light, dark = css().split(".dark")
    for used in set(re.findall(r"var\((--fl-[a-z-]+)\)", sheet)) - {"--fl-tint"}:
        assert f"{used}:" in light, used
        assert f"{used}:" in dark, used
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b(?=[;\s)])|rgba?\(|hsl", sheet)


def test_the_page_is_launched_with_all_sheets_and_keeps_no_history():
    """The stream's and the player's; what visitors paste is kept nowhere."""
    assert {STYLE_SHEET, PLAYER_SHEET} <= set(launch_options()["css_paths"])
    assert launch_options()["run_history"] is False


def test_shapes_differ_without_colour():
    """With colours taken out, no two statuses have the same declarations."""
    sheet = STYLE_SHEET.read_text(encoding="utf-8")
    rules = {}
    for name in STATUSES:
        rule = re.search(rf"\.fl-{name} {{(.*?)}}", sheet, re.S)[1]
        rules[name] = re.sub(r"(?<![-\w])color: [^;]+;|var\([^)]*\)", "", re.sub(r"\s+", " ", rule)).strip()
    assert len(set(rules.values())) == len(rules), rules
