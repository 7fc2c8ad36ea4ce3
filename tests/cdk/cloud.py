"""The synthesized templates as one account: references resolved, resources by type, requests judged by its policies.

The judge is small on purpose. It knows what these stacks use: identity policies, bucket, key and topic policies of one
account, and the condition operators that stand in them; anything else it refuses to judge.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ACCOUNT = "111122223333"
REGION = "ap-southeast-1"
OFFENDING = "offending"
"""A stack that breaks every promise, beside the real ones, so that each rule is seen to refuse."""
_PSEUDO = {
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::NoValue": None,
}


@dataclass(frozen=True)
class Resource:
    stack: str
    id: str
    type: str
    properties: dict[str, Any]
    raw: dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    allowed: bool
    why: str


@dataclass
class Cloud:
    """Everything a deployment would create."""

    folder: Path
    templates: dict[str, Any] = field(init=False)
    resources: list[Resource] = field(init=False)

    def __post_init__(self) -> None:
        self.templates = {
            path.name.removesuffix(".template.json").removeprefix("hatidata-"): json.loads(path.read_text())
            for path in sorted(self.folder.glob("*.template.json"))
            if OFFENDING not in path.name
        }
        self._exports = {
            output["Export"]["Name"]: (stack, output["Value"])
            for stack, template in self.templates.items()
            for output in template.get("Outputs", {}).values()
            if "Export" in output
        }
        self.resources = [
            Resource(stack, name, raw["Type"], self._resolve(stack, raw.get("Properties", {})), raw)
            for stack, template in self.templates.items()
            for name, raw in template["Resources"].items()
        ]

    # ------------------------------------------------------------ reading

    def of(self, kind: str, stack: str = "") -> list[Resource]:
        return [each for each in self.resources if each.type == kind and stack in ("", each.stack)]

    def one(self, kind: str, stack: str = "", **properties: Any) -> Resource:
        found = [
            each
            for each in self.of(kind, stack)
            if all(each.properties.get(name) == value for name, value in properties.items())
        ]
        assert len(found) == 1, f"{len(found)} of {kind} {properties}"
        return found[0]

    def text(self) -> str:
        return json.dumps(self.templates)

    def _resolve(self, stack: str, value: Any) -> Any:
        if isinstance(value, list):
            return [self._resolve(stack, item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            if name == "Ref":
                return self._ref(stack, argument)
            if name == "Fn::GetAtt":
                return self._attribute(stack, *(argument if isinstance(argument, list) else argument.split(".", 1)))
            if name.startswith("Fn::"):
                return self._function(stack, name, argument)
        return {name: self._resolve(stack, item) for name, item in value.items()}

    def _function(self, stack: str, name: str, argument: Any) -> Any:
        if name == "Fn::ImportValue":
            source, found = self._exports[argument]
            return self._resolve(source, found)
        argument = self._resolve(stack, argument)
        match name:
            case "Fn::Join":
                return argument[0].join(str(part) for part in argument[1])
            case "Fn::Select":
                parts = argument[1]  # of names that only AWS will know there are fewer
                return parts[int(argument[0])] if int(argument[0]) < len(parts) else "?"
            case "Fn::Split":
                return argument[1].split(argument[0])
            case "Fn::Base64" | "Fn::Sub":
                return argument
        raise AssertionError(f"unknown function {name}")

    def _ref(self, stack: str, name: str) -> Any:
        if name in _PSEUDO:
            return _PSEUDO[name]
        if name not in self.templates[stack]["Resources"]:
            return f"parameter:{name}"
        raw = self.templates[stack]["Resources"][name]
        named = {
            "AWS::S3::Bucket": "BucketName",
            "AWS::DynamoDB::Table": "TableName",
            "AWS::Logs::LogGroup": "LogGroupName",
            "AWS::Lambda::Function": "FunctionName",
            "AWS::AutoScaling::AutoScalingGroup": "AutoScalingGroupName",
        }.get(raw["Type"])
        if raw["Type"] == "AWS::SNS::Topic":
            return f"arn:aws:sns:{REGION}:{ACCOUNT}:{raw['Properties']['TopicName']}"
        return raw["Properties"][named] if named else name

    def _attribute(self, stack: str, name: str, attribute: str) -> Any:
        raw = self.templates[stack]["Resources"][name]
        if attribute == "DnsEntries":
            return [f"Z0123456789:{name}.vpce.amazonaws.com"]
        if attribute not in ("Arn", "TopicArn"):
            return f"{name}.{attribute}"
        here = f"{REGION}:{ACCOUNT}"
        match raw["Type"]:
            case "AWS::IAM::Role":
                return f"arn:aws:iam::{ACCOUNT}:role/{name}"
            case "AWS::KMS::Key":
                return f"arn:aws:kms:{here}:key/{name}"
            case "AWS::S3::Bucket":
                return f"arn:aws:s3:::{raw['Properties']['BucketName']}"
            case "AWS::DynamoDB::Table":
                return f"arn:aws:dynamodb:{here}:table/{raw['Properties']['TableName']}"
            case "AWS::SQS::Queue":
                return f"arn:aws:sqs:{here}:{raw['Properties'].get('QueueName', name)}"
            case "AWS::Lambda::Function":
                return f"arn:aws:lambda:{here}:function:{raw['Properties']['FunctionName']}"
            case "AWS::Logs::LogGroup":
                return f"arn:aws:logs:{here}:log-group:{raw['Properties']['LogGroupName']}:*"
        return f"arn:aws:{raw['Type']}:{here}:{name}"

    # ------------------------------------------------------------ judging

    def role(self, name: str) -> str:
        """The ARN of a role by its logical id without CDK's suffix."""
        found = [each.id for each in self.of("AWS::IAM::Role") if each.id[:-8] == name]
        assert len(found) == 1, f"{name}: {found}"
        return f"arn:aws:iam::{ACCOUNT}:role/{found[0]}"

    def key(self, name: str) -> str:
        found = [each.id for each in self.of("AWS::KMS::Key") if each.id[:-8] == name]
        assert len(found) == 1, f"{name}: {found}"
        return f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{found[0]}"

    def identity_statements(self, role: str) -> list[dict[str, Any]]:
        name = role.rsplit("/", 1)[-1]
        found: list[dict[str, Any]] = []
        for each in self.resources:
            if each.type == "AWS::IAM::RolePolicy" and each.properties["RoleName"] == name:
                found += each.properties["PolicyDocument"]["Statement"]
            if each.type == "AWS::IAM::Policy" and name in each.properties.get("Roles", []):
                found += each.properties["PolicyDocument"]["Statement"]
            if each.type == "AWS::IAM::Role" and each.id == name:
                assert not each.properties.get("ManagedPolicyArns"), "the judge does not know managed policies"
                for policy in each.properties.get("Policies", []):
                    found += policy["PolicyDocument"]["Statement"]
        return found

    def resource_statements(self, resource: str) -> list[dict[str, Any]]:
        if resource.startswith("arn:aws:s3:::"):
            bucket = resource.removeprefix("arn:aws:s3:::").split("/")[0]
            return [
                statement
                for each in self.of("AWS::S3::BucketPolicy")
                if each.properties["Bucket"] == bucket
                for statement in each.properties["PolicyDocument"]["Statement"]
            ]
        if ":kms:" in resource:
            name = resource.rsplit("/", 1)[1]
            return [
                {**statement, "Resource": resource}
                for each in self.of("AWS::KMS::Key")
                if each.id == name
                for statement in each.properties["KeyPolicy"]["Statement"]
            ]
        return []

    def may(
        self, role: str, action: str, resource: str, *, allows: tuple[Mapping[str, Any], ...] = (), **context: str
    ) -> Verdict:
        """Whether `role` may do this; `allows` are identity statements it has besides those of the stacks."""
        facts = {
            "aws:PrincipalArn": role,
            "aws:PrincipalAccount": role.split(":")[4],
            "aws:PrincipalIsAWSService": "false",
            "aws:SecureTransport": "true",
            "s3:TlsVersion": "1.3",
            "kms:CallerAccount": role.split(":")[4],
            **{name.replace("__", ":"): value for name, value in context.items()},
        }
        identity = [each for each in [*self.identity_statements(role), *allows] if _fits(each, action, resource, facts)]
        resourced = [each for each in self.resource_statements(resource) if _fits(each, action, resource, facts)]
        named = [each for each in resourced if _names(each, role)]
        root = f"arn:aws:iam::{ACCOUNT}:root"
        delegated = [each for each in resourced if root in _principals(each)]
        for each in [*identity, *named]:
            if each["Effect"] == "Deny":
                return Verdict(False, f"denied by {each.get('Sid', 'a statement')}")
        if any(each["Effect"] == "Allow" for each in named if root not in _principals(each)):
            return Verdict(True, "the resource names it")
        granted = any(each["Effect"] == "Allow" for each in identity)
        if ":kms:" in resource:
            passed = granted and any(each["Effect"] == "Allow" for each in delegated)
            return Verdict(
                passed, "the key defers to its own policy" if passed else "the key's policy does not name it"
            )
        return Verdict(granted, "its own policy" if granted else "nothing allows it")

    def may_put(self, role: str, bucket: str, name: str, key: str, **context: str) -> Verdict:
        """PutObject into a bucket under SSE-KMS: S3 asks KMS as the caller, with the bucket's ARN as context.

        Put as writers put, never over what is there, unless the context says otherwise.
        """
        told = {"s3:if-none-match": "*"} if context.pop("over", "no") == "no" else {}
        first = self.may(role, "s3:PutObject", f"arn:aws:s3:::{bucket}/{name}", **told, **context)
        return first if not first.allowed else self.through_s3(role, "kms:GenerateDataKey", key, bucket)

    def may_get(self, role: str, bucket: str, name: str, key: str) -> Verdict:
        first = self.may(role, "s3:GetObject", f"arn:aws:s3:::{bucket}/{name}")
        return first if not first.allowed else self.through_s3(role, "kms:Decrypt", key, bucket)

    def through_s3(self, role: str, action: str, key: str, bucket: str, **more: Any) -> Verdict:
        return self.may(
            role,
            action,
            key,
            kms__ViaService=f"s3.{REGION}.amazonaws.com",
            **{"kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{bucket}"},
            **more,
        )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _matches(pattern: str, text: str) -> bool:
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


def _principals(statement: Mapping[str, Any]) -> list[str]:
    principal = statement.get("Principal", {})
    if principal == "*":
        return ["*"]
    return [str(each) for kind in ("AWS", "Service") for each in _list(principal.get(kind, []))]


def _names(statement: Mapping[str, Any], role: str) -> bool:
    named = _principals(statement)
    return "*" in named or role in named


def _fits(statement: Mapping[str, Any], action: str, resource: str, facts: Mapping[str, str]) -> bool:
    assert "NotAction" not in statement
    assert "NotResource" not in statement
    if not any(_matches(str(each).lower(), action.lower()) for each in _list(statement["Action"])):
        return False
    if not any(_matches(str(each), resource) for each in _list(statement["Resource"])):
        return False
    return all(_holds(*condition, facts) for condition in _conditions(statement))


def _conditions(statement: Mapping[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    for operator, keys in statement.get("Condition", {}).items():
        for key, values in keys.items():
            yield operator, key, [str(each) for each in _list(values)]


def _holds(operator: str, key: str, values: list[str], facts: Mapping[str, str]) -> bool:
    fact = facts.get(key)
    if operator == "Null":
        return (fact is None) == (values == ["true"])
    if operator.endswith("IfExists"):
        if fact is None:
            return True
        operator = operator.removesuffix("IfExists")
    negative = "Not" in operator
    if fact is None:
        return negative
    match operator:
        case "StringEquals" | "ArnEquals" | "StringNotEquals" | "ArnNotEquals" | "Bool":
            found = fact in values if "Arn" not in operator else any(_matches(value, fact) for value in values)
        case "StringLike" | "ArnLike" | "StringNotLike" | "ArnNotLike":
            found = any(_matches(value, fact) for value in values)
        case "NumericLessThan":
            found = any(float(fact) < float(value) for value in values)
        case _:
            raise AssertionError(f"the judge does not know {operator}")
    return found != negative
