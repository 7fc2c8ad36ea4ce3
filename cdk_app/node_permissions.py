"""What a query node may do: the four permissions of claim W6.4, and nothing else (W6.5).

What its work needs besides comes from elsewhere: `kms:GenerateDataKey` for the audit from the audit key's policy
(through S3 only), Systems Manager from Default Host Management of the account.
"""

from __future__ import annotations

from typing import Any


def node_policy(*, data_bucket: str, audit_bucket: str, data_key_arn: str) -> dict[str, Any]:
    """The one policy document of the instance profile's role."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "ReadTheLake",
                "Effect": "Allow",
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{data_bucket}/*",
            },
            {
                "Sid": "ListTheLake",
                "Effect": "Allow",
                "Action": "s3:ListBucket",
                "Resource": f"arn:aws:s3:::{data_bucket}",
            },
            {
                "Sid": "WriteTheAudit",
                "Effect": "Allow",
                "Action": "s3:PutObject",
                "Resource": f"arn:aws:s3:::{audit_bucket}/audit/*",
            },
            {"Sid": "DecryptTheLake", "Effect": "Allow", "Action": "kms:Decrypt", "Resource": data_key_arn},
        ],
    }
