"""The folder of documents: plain functions, which know nothing of runs."""

from __future__ import annotations

import re
from pathlib import Path

from shapes import Document, Found, Hit

SUFFIXES = {".md", ".txt"}


def about(company: str, folder: Path) -> dict[str, str]:
    """The documents in which a company is named: name to text."""
    name = company.casefold()
    texts = {p.name: p.read_text(encoding="utf-8") for p in sorted(folder.iterdir()) if p.suffix in SUFFIXES}
    return {document: text for document, text in texts.items() if name in text.casefold()}


def search(company: str, question: str, folder: Path, *, most: int = 4) -> Found:
    """Lines of the company's documents, those first that share the most words with the question."""
    wanted = _stems(question)
    name = company.casefold()
    rated = [
        (
            2 * len(wanted & _stems(line)) + (name in line.casefold()),
            Hit(document=document, line=line.lstrip("-# ")),
        )
        for document, text in about(company, folder).items()
        for line in text.splitlines()
    ]
    best = sorted((r for r in rated if r[0]), key=lambda r: (-r[0], r[1].document, r[1].line))
    return Found(company=company, question=question, hits=[hit for _, hit in best[:most]])


def read(company: str, document: str, folder: Path) -> Document:
    """One document, if it is about the company. Raises `LookupError`: a node sees what is its business."""
    texts = about(company, folder)
    if document not in texts:
        raise LookupError(f"there is no document `{document}` about {company} in {folder}")
    return Document(company=company, name=document, text=texts[document])


def _stems(text: str) -> set[str]:
    return {word[:5] for word in re.findall(r"\w{4,}", text.casefold())}
