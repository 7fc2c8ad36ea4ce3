"""The costs that docs/deploy.md states are what its own formulas give, over the counts that the templates have."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Iterator

import pytest

from tests.cdk.cloud import Cloud
from tests.cdk.conftest import ROOT

_SIZES = ("small", "large")
_OPERATORS = {ast.Add: operator.add, ast.Mult: operator.mul, ast.Sub: operator.sub, ast.Div: operator.truediv}


def tables() -> list[list[list[str]]]:
    page = (ROOT / "docs" / "deploy.md").read_text()
    section = page.split("## What it costs a month")[1].split("\n## ")[0]
    found: list[list[list[str]]] = []
    for block in re.findall(r"(?m)(?:^\|.*\|\n)+", section):
        found.append([[cell.strip() for cell in line.strip("|\n").split("|")] for line in block.splitlines()][2:])
    return found


def number(text: str) -> float:
    return float(text.replace(",", ""))


def facts() -> Iterator[dict[str, float]]:
    """The names of each size: prices first, then amounts."""
    prices, amounts, _ = tables()
    for column in range(len(_SIZES)):
        found: dict[str, float] = {}
        for label, value, _ in prices:
            found[label.strip("`")] = number(value.split("/")[column if "/" in value else 0].strip())
        for label, *values in amounts:
            found[label.split("`")[1]] = number(values[column])
        yield found


def worked_out(formula: str, names: dict[str, float]) -> float:
    def value(node: ast.AST) -> float:
        match node:
            case ast.Expression(body):
                return value(body)
            case ast.Constant(float() | int() as plain):
                return float(plain)
            case ast.Name(name):
                return names[name]
            case ast.BinOp(left, sign, right):
                return float(_OPERATORS[type(sign)](value(left), value(right)))
        raise AssertionError(f"{formula}: {type(node).__name__}")

    return value(ast.parse(formula, mode="eval"))


@pytest.mark.parametrize("column", range(len(_SIZES)), ids=_SIZES)
def test_every_line_is_what_its_formula_gives_and_the_sum_is_theirs(column: int) -> None:
    names = list(facts())[column]
    *lines, total = tables()[2]
    stated = []
    for label, formula, *values in lines:
        given = worked_out(formula.strip("`"), names)
        stated.append(number(values[column]))
        assert abs(stated[-1] - given) <= 0.5, f"{label}: {given:.2f}"
    assert len(lines) >= 10
    assert number(total[2 + column]) == sum(stated)


def test_the_counts_are_those_of_the_templates(cloud: Cloud) -> None:
    small, _ = facts()
    doors = [each for each in cloud.of("AWS::EC2::VPCEndpoint") if each.properties["VpcEndpointType"] == "Interface"]
    counted = {
        "endpoints": sum(each.stack != "image" for each in doors),
        "workshop": sum(each.stack == "image" for each in doors),
        "rules": len(cloud.one("AWS::WAFv2::WebACL").properties["Rules"]),
        "keys": len(cloud.of("AWS::KMS::Key")),
        "alarms": len(cloud.of("AWS::CloudWatch::Alarm")),
        "zones": len(cloud.of("AWS::EC2::Subnet", "network")),
    }
    assert {name: small[name] for name in counted} == counted
    kinds = [each.properties["Type"] for each in cloud.of("AWS::ElasticLoadBalancingV2::LoadBalancer")]
    assert sorted(kinds) == ["application", "network", "network"]
