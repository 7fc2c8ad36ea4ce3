"""Names that the adapters of this room and the stacks of `cdk_app` share; constants, nothing imported.

What the table's keys mean stands in docs/control-table.md.
"""

from __future__ import annotations

# ---------------------------------------------------------------- the control table
PARTITION_KEY = "pk"
SORT_KEY = "sk"
UNIQUE_INDEX = "by_unique"
"""A local secondary index (strongly consistent reads) on `UNIQUE_KEY`, projection ALL."""
UNIQUE_KEY = "uq"
LOOKUP_INDEX = "by_lookup"
"""As above, on `LOOKUP_KEY`."""
LOOKUP_KEY = "lk"
EXPIRES = "expires"
"""The table's time-to-live attribute: whole seconds since 1970."""
CHAIN_PARTITION = "chain/"
"""Partitions of the admin chain begin so, followed by the environment: what a stream consumer filters by."""

# ---------------------------------------------------------------- the audit bucket
AUDIT_PREFIX = "audit/"
"""Every object of the audit lies below it: `audit/queries/YYYY/MM/DD/...`, `audit/sessions/...`, ..."""
MANIFESTS_PREFIX = "audit/manifests/"
CHECKPOINTS_PREFIX = "audit/checkpoints/"

# ---------------------------------------------------------------- the data bucket
RESERVED_PREFIX = ".hatidata/"
"""Objects of the data bucket that are the warehouse's own, never a table."""


def identity_key(environment: str) -> str:
    """The object in the data bucket that holds what a node of `environment` proves itself and masks with, sealed."""
    return f"{RESERVED_PREFIX}nodes/{environment}/identity.sealed"


def volume_seed_key(environment: str) -> str:
    """The object in the data bucket that holds the seed of the cache volume's key, as KMS encrypted it."""
    return f"{RESERVED_PREFIX}nodes/{environment}/volume-seed"


# ---------------------------------------------------------------- KMS
IDENTITY_PURPOSE = "hatidata-node-identity"
"""`purpose` in the encryption context of an identity; `environment` is the other entry."""
VOLUME_SEED_PURPOSE = "hatidata-volume-seed"
SEALED_PURPOSE = "hatidata-secret"
"""Of the signing secrets of webhooks."""
SIGNING_ALGORITHM = "ECDSA_SHA_256"
SIGNING_KEY_SPEC = "ECC_NIST_P256"
"""Of the KMS keys that sign manifests, checkpoints and rulebooks: `openssl dgst -sha256 -verify` checks them."""
