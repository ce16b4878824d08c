"""MkDocs hook: pages of the site that are made from files at the top of the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

_PAGES = {"index.md": "README.md", "contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}


def on_files(files: Any, config: Any) -> Any:
    """Add README, CONTRIBUTING and CHANGELOG as pages."""
    root = Path(config.config_file_path).parent
    for page, source in _PAGES.items():
        text = (root / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text.replace("](docs/", "](")))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Point links to those files at their pages."""
    for page, source in _PAGES.items():
        markdown = re.sub(rf"\]\((?:\.\./)?{re.escape(source)}", f"]({page}", markdown)
    return markdown


def on_page_content(html: str, **_: Any) -> str:
    """Drop the roles of docstrings (``:class:``), which Markdown does not know."""
    return re.sub(r":(?:attr|class|func|meth|mod):(?=<code>)", "", html)
