"""The audit: what an auditor gets, and what proves it.

Told from the journals: who did it, for whom, who let it, and whether it worked. Proven by one Merkle tree over the
heads of all runs, its signed checkpoints, and whoever holds one of them. Trees and proofs need nothing but `hashlib`;
signatures need the extra `identity`.
"""

from .answers import VerifiedAnswer, verify_answer, verify_answers
from .bundles import BundleReport, verify_bundle
from .checkpoints import Checkpoint, OpenedCheckpoint, open_checkpoint
from .deeds import Deeds, Story, story_of
from .fact import Deed, Enquiry, Fact
from .facts import Facts, facts_of
from .faults import Fault
from .log import LogGrower, consistency_proof, inclusion_proof, newest_checkpoint, root_at
from .notes import Signature, SignedNote, Signer, Verified, VerifierKey
from .proofs import Proof, Proven, prove, prove_entries, verify_proof
from .search import Done, Selection, deeds_of, journal_of, runs_of, same_person, story_in
from .tree import Frontier, ProofFailed, leaf_hash, node_hash, verify_consistency, verify_inclusion
from .verification import StoreReport, verify_store

__all__ = [
    "BundleReport",
    "Checkpoint",
    "Deed",
    "Deeds",
    "Done",
    "Enquiry",
    "Fact",
    "Facts",
    "Fault",
    "Frontier",
    "LogGrower",
    "OpenedCheckpoint",
    "Proof",
    "ProofFailed",
    "Proven",
    "Selection",
    "Signature",
    "SignedNote",
    "Signer",
    "StoreReport",
    "Story",
    "Verified",
    "VerifiedAnswer",
    "VerifierKey",
    "consistency_proof",
    "deeds_of",
    "facts_of",
    "inclusion_proof",
    "journal_of",
    "leaf_hash",
    "newest_checkpoint",
    "node_hash",
    "open_checkpoint",
    "prove",
    "prove_entries",
    "root_at",
    "runs_of",
    "same_person",
    "story_in",
    "story_of",
    "verify_answer",
    "verify_answers",
    "verify_bundle",
    "verify_consistency",
    "verify_inclusion",
    "verify_proof",
    "verify_store",
]
