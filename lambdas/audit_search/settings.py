"""What the audit search function is told by its environment; the stacks read it too, so it imports no library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from governance.errors import InvalidRequest

AUDIT_BUCKET = "HATIDATA_AUDIT_BUCKET"
REGION = "AWS_REGION"
"""Set by Lambda itself; the stacks leave it out."""
SIGNING_KEY = "HATIDATA_SIGNING_KEY"
SCAN_BYTES_MAX = "HATIDATA_SCAN_BYTES_MAX"
SCAN_S = "HATIDATA_SCAN_S"
SCAN_BYTES_DEFAULT = 128 << 20
SCAN_S_DEFAULT = 10.0


@dataclass(frozen=True, slots=True)
class AuditSearchSettings:
    """Where the audit lies, and how much of it one page may read."""

    audit_bucket: str
    region: str = ""
    signing_key: str = ""
    """ARN of the KMS key that signed the manifests; its public half checks them."""
    scan_bytes_max: int = SCAN_BYTES_DEFAULT
    """Compressed bytes one page may read; the next page goes on."""
    scan_s: float = SCAN_S_DEFAULT
    """How long one page may look."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> AuditSearchSettings:
        """The settings in these variables.

        Raises:
            InvalidRequest: no bucket is named, or a bound is no positive number.
        """
        bucket = environment.get(AUDIT_BUCKET, "")
        if not bucket:
            raise InvalidRequest(
                f"{AUDIT_BUCKET} is not set.", advice="Deploy the function with the stacks of this project."
            )
        try:
            scan_bytes_max = int(environment.get(SCAN_BYTES_MAX, str(SCAN_BYTES_DEFAULT)))
            scan_s = float(environment.get(SCAN_S, str(SCAN_S_DEFAULT)))
        except ValueError:
            raise InvalidRequest("A bound of the audit search is no number.") from None
        if scan_bytes_max <= 0 or not 0 < scan_s <= 900:
            raise InvalidRequest("A bound of the audit search is out of range.")
        return cls(bucket, environment.get(REGION, ""), environment.get(SIGNING_KEY, ""), scan_bytes_max, scan_s)

    def environment(self) -> dict[str, str]:
        """The variables that say the same; those of Lambda's own left out."""
        named = {
            AUDIT_BUCKET: self.audit_bucket,
            SIGNING_KEY: self.signing_key,
            SCAN_BYTES_MAX: str(self.scan_bytes_max),
            SCAN_S: str(self.scan_s),
        }
        return {name: value for name, value in named.items() if value}
