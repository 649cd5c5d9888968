"""Who an agent is and for whom it acts: names, keys, tokens, and what verifies them. Knows nothing of runs.

Needs the extra `identity`; whoever only verifies calls uses `perdure.verify`.
"""

from ..core.credentials import Credential, CredentialSource, Wanted
from .approver_file import SigningKey
from .broker import Broker
from .digests import arguments_digest, content_digest, request_digest
from .documents import Documents
from .fetching import FetchedKeys
from .keys import AgentKey, KeyOwner, Keyring, KeyStore, jwks
from .keystore import FileKeyStore
from .names import AgentId
from .proofs import ProofKey
from .sealing import CannotUnseal, MasterKeys
from .tokens import Call, Delegation, Issuer
from .verification import Caller, KeySource, NotAuthorised, SeenProofs, StaticKeys, Verifier

__all__ = [
    "AgentId",
    "AgentKey",
    "Broker",
    "Call",
    "Caller",
    "CannotUnseal",
    "Credential",
    "CredentialSource",
    "Delegation",
    "Documents",
    "FetchedKeys",
    "FileKeyStore",
    "Issuer",
    "KeyOwner",
    "KeySource",
    "KeyStore",
    "Keyring",
    "MasterKeys",
    "NotAuthorised",
    "ProofKey",
    "SeenProofs",
    "SigningKey",
    "StaticKeys",
    "Verifier",
    "Wanted",
    "arguments_digest",
    "content_digest",
    "jwks",
    "request_digest",
]
