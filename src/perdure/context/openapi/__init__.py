"""OpenAPI documents as tools: read, cut into operations, and each call written as the request that it means."""

from .answer import ApiResult, answered
from .document import Document
from .operations import Operation, definition, operations
from .requests import Request, request_of

__all__ = [
    "ApiResult",
    "Document",
    "Operation",
    "Request",
    "answered",
    "definition",
    "operations",
    "request_of",
]
