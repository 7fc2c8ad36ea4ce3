"""What the reviewers find and we keep, each with the reason a security reviewer is given.

The reasons are written into the templates. `tests/cdk` refuses an entry that no longer matches a finding.
"""

from __future__ import annotations

from dataclasses import dataclass

_THREE_PACKS = ("HIPAA.Security", "NIST.800.53.R5", "PCI.DSS.321")


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Findings that stay."""

    rules: tuple[str, ...]
    constructs: tuple[str, ...]
    """Paths below the stack's own name: `access/Front/Resource`."""
    reason: str


def _in_three_packs(rule: str) -> tuple[str, ...]:
    return tuple(f"{pack}-{rule}" for pack in _THREE_PACKS)


ACKNOWLEDGED = (
    Acknowledged(
        ("AwsSolutions-ELB2", *_in_three_packs("ELBLoggingEnabled")),
        ("access/Front/Resource", "access/ControlFront/Resource"),
        "A network load balancer writes access logs for TLS listeners only; these pass TCP through, because "
        "TLS 1.3 ends in the node and in the application load balancer. VPC flow logs record every "
        "connection, the audit every session.",
    ),
    Acknowledged(
        ("AwsSolutions-ELB2", *_in_three_packs("ELBLoggingEnabled")),
        ("access/ControlPlane/Resource",),
        "Access logs of an application load balancer can be written only to a bucket under an S3-managed key, "
        "which claim W2.4 rules out. The web application firewall before it logs every request, under the "
        "customer's key.",
    ),
    Acknowledged(
        _in_three_packs("ELBv2ACMCertificateRequired"),
        (
            "access/Front/Clients/Resource",
            "access/ControlFront/Administrators/Resource",
            "access/ControlFront/NodesLink/Resource",
        ),
        "TCP is passed through on purpose: TLS 1.3 ends in the node, which authenticates the client (W2.8), "
        "and in the application load balancer, which holds the certificate and asks nodes for theirs (W2.10). "
        "Nothing is in plain text.",
    ),
    Acknowledged(
        ("AwsSolutions-AS3",),
        ("nodes/Group/ASG",),
        "Failed launches and terminations are notified. Successful ones are normal scaling; every termination "
        "is followed, recorded and alarmed by the function luks_erase.",
    ),
    Acknowledged(
        _in_three_packs("IAMNoInlinePolicy"),
        ("network/FlowLogWriter/DefaultPolicy/Resource", "image/FlowLogWriter/DefaultPolicy/Resource"),
        "The policy belongs to this one service role and to nothing else; apart from it, it would be a right "
        "that anybody could be given.",
    ),
    Acknowledged(
        _in_three_packs("S3BucketReplicationEnabled"),
        ("storage/AccessLogs/Resource", "storage/Audit/Resource", "storage/Data/Resource"),
        "Data stays in the region the customer chose (W1.5). S3 keeps it in three zones, with versions and, "
        "for the audit, under lock; a customer who wants a second region adds a replication of his own.",
    ),
    Acknowledged(
        _in_three_packs("S3DefaultEncryptionKMS"),
        ("storage/AccessLogs/Resource",),
        "S3 delivers server access logs to no bucket whose default encryption is a KMS key. The bucket holds "
        "the names of objects and callers, never contents; it is closed to everybody else and TLS only.",
    ),
    Acknowledged(
        _in_three_packs("VPCDefaultSecurityGroupClosed"),
        ("network/Vpc/Resource", "image/Workshop/Resource"),
        "CloudFormation cannot change the default group, and a function that could would need rights over "
        "every security group. Nothing is put into it: every interface names a group of ours, and the VPC has "
        "no route out.",
    ),
)
