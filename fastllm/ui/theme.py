"""The palette that token HTML, chart and legend share, as CSS variables, and the Gradio theme. Imports no model code.

Hues are Okabe and Ito's (2008), made darker on light and lighter on dark until text reaches a contrast of 4.5:1 on its
own tint; purple leans to violet, because beside grey their reddish purple vanishes for a deuteranope. No status rests
on colour alone: each has a shape (see assets/style.css) and a glyph.
"""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr
from starlette.middleware import Middleware

from fastllm.config import ASSETS
from fastllm.trace import MAX_BYTES
from fastllm.ui import limits
from fastllm.ui.squeeze import Squeezed

STYLE_SHEET = ASSETS / "style.css"
PLAYER_SHEET = ASSETS / "player" / "player.css"
INSPECTOR_SHEET = ASSETS / "player" / "inspector.css"
STYLE_SHEETS = [STYLE_SHEET, PLAYER_SHEET, INSPECTOR_SHEET, ASSETS / "lab.css", ASSETS / "teacher.css"]
TINT = 0.12  # share of a status's colour in the background of its tokens; style.css reads it as --fl-tint


@dataclass(frozen=True)
class Status:
    """How one kind of token looks, and what it means in a few words.

    Attributes:
        glyph: shown before the token's text, "" for none; never the only sign.
        shape: what a colour-blind viewer goes by, in words.
    """

    name: str
    light: str
    dark: str
    glyph: str
    shape: str
    meaning: str


STATUSES: dict[str, Status] = {
    s.name: s
    for s in (
        Status("accepted", "#00694c", "#2fd6a3", "", "underlined", "drafted and kept"),
        Status("rejected", "#a83a00", "#ff9b61", "", "struck out", "drafted and refused"),
        Status("ignored", "#667080", "#98a2b3", "", "dotted", "after a rejection, so not tested"),
        Status("resampled", "#00598c", "#6cc3f5", "↻", "boxed", "in the rejected token's place"),
        Status("bonus", "#7a2bbf", "#bd7ff5", "+", "filled", "free after a fully accepted draft"),
        Status("target", "#1b2330", "#e8ecf3", "", "plain", "where nothing was drafted"),
    )
}

# name: (light, dark); dashes for underscores in CSS.
SURFACES: dict[str, tuple[str, str]] = {
    "page": ("#f4f6f9", "#0e1116"),
    "panel": ("#ffffff", "#171b24"),
    "ink": ("#1b2330", "#e8ecf3"),
    "muted": ("#566070", "#a3adbd"),
    "line": ("#d9dee7", "#2b3240"),
    "accent": ("#00598c", "#6cc3f5"),
    "on_accent": ("#ffffff", "#0e1116"),
    "warn": ("#7a4b00", "#f0c674"),
    "error": ("#a83a00", "#ff9b61"),
}


def variables(dark: bool) -> str:
    """The palette as declarations of CSS variables."""
    lines = [f"--fl-{name.replace('_', '-')}: {pair[dark]};" for name, pair in SURFACES.items()]
    lines += [f"--fl-{s.name}: {s.dark if dark else s.light};" for s in STATUSES.values()]
    return " ".join(lines)


def css() -> str:
    """The palette as CSS variables, light and dark; style.css uses nothing else for colour."""
    # Gradio has one accent for light and dark; on dark its own sky blue is bright enough.
    dark = f".dark {{ --color-accent: var(--primary-500); {variables(True)} }}"
    return f":root {{ --fl-tint: {TINT:.0%}; {variables(False)} }}\n{dark}\n"


def theme() -> gr.themes.Base:
    """Gradio's default theme in this palette, with fonts of the visitor's own machine: nothing is fetched."""
    light, dark = ({name: pair[i] for name, pair in SURFACES.items()} for i in (0, 1))
    base = gr.themes.Default(
        primary_hue=gr.themes.colors.sky,
        neutral_hue=gr.themes.colors.slate,
        spacing_size=gr.themes.sizes.spacing_sm,
        radius_size=gr.themes.sizes.radius_md,
        font=("system-ui", "-apple-system", "Segoe UI", "Roboto", "Liberation Sans", "sans-serif"),
        font_mono=("ui-monospace", "SFMono-Regular", "Menlo", "DejaVu Sans Mono", "monospace"),
    )
    colours = {
        "body_background_fill": "page",
        "background_fill_primary": "panel",
        "background_fill_secondary": "page",
        "block_background_fill": "panel",
        "input_background_fill": "panel",
        "body_text_color": "ink",
        "block_title_text_color": "ink",
        "block_label_text_color": "muted",
        "block_info_text_color": "muted",
        "body_text_color_subdued": "muted",
        "input_placeholder_color": "muted",
        "border_color_primary": "line",
        "block_border_color": "line",
        "input_border_color": "line",
        "slider_color": "accent",
        "button_primary_background_fill": "accent",
        "button_primary_background_fill_hover": "accent",
        "button_primary_border_color": "accent",
        "button_primary_text_color": "on_accent",
        "button_secondary_background_fill": "panel",
        "button_secondary_text_color": "ink",
        "button_secondary_border_color": "line",
    }
    return base.set(
        color_accent=light["accent"],
        **{key: light[name] for key, name in colours.items()},
        **{f"{key}_dark": dark[name] for key, name in colours.items()},
    )


def launch_options() -> dict:
    """How the page is launched wherever it is launched: its look, and what visitors paste is kept nowhere, not even in
    their browser."""
    return {
        "theme": theme(),
        "css": css(),
        "css_paths": STYLE_SHEETS,
        "run_history": False,
        "ssr_mode": False,
        "max_file_size": MAX_BYTES,
        "app_kwargs": {"middleware": [Middleware(Squeezed)]},
        "state_session_capacity": limits.SESSIONS,
    }
