"""Embeddings as providers serve them: OpenAI's `/v1/embeddings`, and Gemini's `batchEmbedContents` and `embedContent`.

The vectors are of no model: each word, and each three letters of one, is a place in the vector (feature hashing). So
texts that share words are near each other, the same text is always the same vector, and nothing is learnt.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
import struct
from dataclasses import dataclass
from typing import Any

__all__ = ["EmbeddingRequest", "answer", "read", "vector_of"]

DIMENSIONS = 64
GEMINI = re.compile(r"/(?:v1beta/|v1/)?models/([^/:]+):(batchEmbedContents|embedContent)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRequest:
    """One request as it came."""

    protocol: str
    """`openai` or `gemini`"""
    model: str
    texts: tuple[str, ...]
    body: dict[str, Any]


def vector_of(text: str) -> list[float]:
    """The vector of a text, of length 1."""
    vector = [0.0] * DIMENSIONS
    for word in re.findall(r"\w+", text.lower()):
        for piece in (word, *(f"{word:^2}"[i : i + 3] for i in range(len(word) - 2))):
            digest = hashlib.blake2b(piece.encode(errors="replace"), digest_size=4).digest()
            place = int.from_bytes(digest, "big")
            vector[place % DIMENSIONS] += 1.0 if place & 0x8000_0000 else -1.0
    length = math.sqrt(sum(n * n for n in vector)) or 1.0
    return [n / length for n in vector]


def read(path: str, body: Any) -> EmbeddingRequest | None:
    """What is asked; None: it is no request for embeddings. Raises `KeyError`, `TypeError` for what is none inside."""
    if path == "/v1/embeddings":
        given = body["input"]
        texts = (given,) if isinstance(given, str) else tuple(map(str, given))
        return EmbeddingRequest(protocol="openai", model=body["model"], texts=texts, body=body)
    found = GEMINI.search(path)
    if found is None:
        return None
    asked = body["requests"] if found[2] == "batchEmbedContents" else [body]
    texts = tuple(" ".join(part["text"] for part in each["content"]["parts"]) for each in asked)
    return EmbeddingRequest(protocol="gemini", model=found[1], texts=texts, body=body)


def answer(asked: EmbeddingRequest) -> dict[str, Any]:
    """The body of the answer."""
    vectors = [vector_of(text) for text in asked.texts]
    tokens = sum(len(text.split()) for text in asked.texts)
    if asked.protocol == "gemini":
        told = [{"values": vector} for vector in vectors]
        return {"embeddings": told, "usageMetadata": {"promptTokenCount": tokens, "totalTokenCount": tokens}}
    coded = asked.body.get("encoding_format") == "base64"
    return {
        "object": "list",
        "model": asked.model,
        "data": [
            {"object": "embedding", "index": i, "embedding": _coded(vector) if coded else vector}
            for i, vector in enumerate(vectors)
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _coded(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
