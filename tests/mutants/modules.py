"""The modules that decide access, and for each the tests that are about it, chosen so that a mutant costs seconds."""

from __future__ import annotations

from dataclasses import dataclass

_P = "tests/engine/pipeline/"
_CORE = tuple(_P + f"test_{name}.py" for name in ("pipeline", "guards", "who_may", "secured"))
_VALUES = (*_CORE, _P + "test_places.py", "tests/corpus", _P + "test_red_literals.py", _P + "test_red_views.py")
_MARKS = _P + "test_guard_marks.py"


@dataclass(frozen=True)
class Module:
    """A module to mutate and the tests to ask."""

    path: str
    tests: tuple[str, ...]


def _stage(name: str, *tests: str) -> Module:
    return Module(f"engine/pipeline/{name}.py", tuple(t if "/" in t else f"{_P}test_{t}.py" for t in tests))


def _law(name: str, *tests: str) -> Module:
    return Module(f"governance/{name}.py", tuple(t if "/" in t else f"tests/governance/test_{t}.py" for t in tests))


MODULES: dict[str, Module] = {
    # what is shown: the secured relation, masks, filters
    "relation": _stage("relation", *_VALUES, "red_dictionaries", "canary", "tests/governance/test_masks.py"),
    "masks": _law("masks", "masks", _P + "test_secured.py", _P + "test_pipeline.py", "tests/corpus"),
    "policy_text": _law("policy_text", "policy_text", "filter_law", _P + "test_pipeline.py"),
    "filter_grammar": _law("filter_grammar", "policy_text", "filter_law", _P + "test_pipeline.py"),
    "sql_literals": _law("sql_literals", "policy_text", "filter_law", _P + "test_pipeline.py"),
    "sql_types": _law("sql_types", _P + "test_prover.py", _P + "test_pipeline.py", _P + "test_red_dictionaries.py"),
    # what could tell of hidden rows: guard, proof, seals, plans, groups
    "guard": _stage(
        "guard", _MARKS, "guards", "prover", "plan_facts", "red_dictionaries", "red_nested", "red_literals"
    ),
    "prover": _stage("prover", "prover", "guards", "plan_facts", "red_plan"),
    "proven": _stage("proven", "prover", "guards", "plan_facts", "red_literals"),
    "seals": _stage("seals", _MARKS, "red_dictionaries", "guards", "red_nested", "red_literals"),
    "names": _stage("names", _MARKS, "guards", "red_dictionaries", "red_nested", "pipeline", "red_views"),
    "conjuncts": _stage("conjuncts", _MARKS, *_CORE, "red_plan", "red_sizes", "tests/corpus"),
    "plan_facts": _stage("plan_facts", "plan_facts", "red_plan", "red_sizes"),
    "predicates": _stage(
        "predicates", *_CORE, "column_calls", "red_views", "red_nested", "denied_views", "tests/corpus"
    ),
    "minimum_group": _stage("minimum_group", *_CORE, "red_minimum_group", "red_small_groups", "red_figures"),
    "result_checks": _stage("result_checks", *_CORE, "tests/corpus"),
    # what a statement is: text, trees, both parsers, names, calls
    "text_gate": _stage("text_gate", "pipeline", "tests/corpus", "text_gate"),
    "survey": _stage("survey", *_VALUES, _MARKS, "plan_facts", "red_names", "red_derived"),
    "definitions": _stage("definitions", *_CORE, _MARKS, "red_nested", "red_plan", "red_names", "red_derived"),
    "column_calls": _stage("column_calls", "column_calls", "places", "guards"),
    "surveyor": _stage("surveyor", *_VALUES, _MARKS, "red_nested", "red_dictionaries"),
    "witness": _stage("witness", *_VALUES, "red_mutations"),
    "splice": _stage("splice", *_VALUES, "headers", "red_nested"),
    "headers": _stage("headers", *_CORE, "headers", "red_nested"),
    "classify": _stage("classify", *_VALUES, "calls", "column_calls", "sql_reference"),
    "functions": _stage("functions", *_VALUES, "sql_reference"),
    "planner": _stage(
        "planner",
        *_VALUES,
        "column_calls",
        "headers",
        "red_policies",
        "pivot_values",
        "red_plan",
        "red_minimum_group",
        "translate",
    ),
    "pipeline": _stage(
        "pipeline", *_CORE, "places", "explain_forms", "explain_policy", "red_explain_policy", "red_views"
    ),
    "explain": _stage(
        "explain", *_CORE, "explain_forms", "explain_policy", "red_explain_policy", "red_sizes", "red_plan"
    ),
    "pivot_values": _stage("pivot_values", "pipeline", "pivot_values"),
    "translate": _stage("translate", "translate", "translate_postgres", "red_dialects"),
    "translated": _stage("translated", "translate", "translate_postgres", "red_dialects"),
    "writes": _stage("writes", "writes"),
    # who may: roles, organizations, conditions, the rulebook
    "authorize": _stage("authorize", *_CORE, "places", "explain_policy", "tests/corpus"),
    "plan": _stage("plan", *_CORE, "places", "red_plan"),
    "view": Module("engine/catalog/view.py", (*_CORE, _P + "test_red_views.py", "tests/engine/catalog/test_sight.py")),
    "conditions": _law(
        "conditions",
        "conditions",
        "condition_law",
        _P + "test_red_policies.py",
        _P + "test_pipeline.py",
        _P + "test_who_may.py",
    ),
    "policies": _law("policies", *_CORE, "masks", "rulebook"),
    "permissions": _law("permissions", "permissions", _P + "test_who_may.py"),
    "scopes": _law("scopes", "permissions", "api_key_life", _P + "test_pipeline.py"),
    "principals": _law("principals", *_CORE, "conditions", "masks"),
    "tables": _law("tables", *_CORE, "policy_text"),
    "rulebook": _law("rulebook", "rulebook", _P + "test_pipeline.py"),
    "policy_versions": _law("policy_versions", "rulebook", _P + "test_explain_policy.py"),
    "bundle": _law("bundle", "bundle"),
    "signatures": _law("signatures", "bundle", "checkpoints"),
    "api_key_life": _law("api_key_life", "api_key_life", "api_key"),
}
