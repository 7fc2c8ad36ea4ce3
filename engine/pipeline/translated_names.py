"""Names in a translated statement: as the dialect folds them, and refused where DuckDB would take one for another.

PostgreSQL makes unquoted names lower case and tells `"Foo"` from `foo`; DuckDB keeps the case and tells neither. Both
dialects call the columns of VALUES column1, column2, ...; DuckDB calls them col0, col1, ...
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot import exp

from governance.errors import StatementRefused
from governance.tables import fold


def settle_names(root: exp.Expr, dialect: str) -> exp.Expr:
    """The statement with the names that its dialect gives, in place as far as may be.

    Raises:
        StatementRefused: two names that differ by their case only.
    """
    for values in list(root.find_all(exp.Values)):
        _name_columns(values)
    if isinstance(root, exp.Values):
        root = exp.Select(expressions=[exp.Star()]).from_(root)
    aliases = [node.args["alias"] for node in root.find_all(exp.Alias)]
    aliases += [name for node in root.find_all(exp.TableAlias) for name in node.columns]
    if dialect == "postgres":
        for name in aliases:
            if isinstance(name, exp.Identifier) and not name.quoted:
                name.set("this", fold(name.name))
    repeats = [node.args["alias"] for node in root.find_all(exp.Alias) if _repeats(node)]
    read = [node.this for node in root.find_all(exp.Column)]
    made = [name for name in aliases if not any(name is each for each in repeats)]
    _distinct(_spelled(aliases, dialect), {})
    _distinct(_spelled(made, dialect), _spelled(read, dialect))
    relations = [node.this for node in root.find_all(exp.TableAlias)]
    tables = [node.this for node in root.find_all(exp.Table) if not node.db and not node.alias]
    _distinct(_spelled(relations, dialect), _spelled(tables, dialect))
    return root


def _name_columns(values: exp.Values) -> None:
    """Name the columns that the client did not."""
    if isinstance(values.parent, exp.In):
        return
    first = values.expressions[0] if values.expressions else None
    count = len(first.expressions) if isinstance(first, exp.Tuple) else 1
    alias = values.args.get("alias")
    if alias is None:
        alias = exp.TableAlias(this=exp.to_identifier("*VALUES*", quoted=True))
        values.set("alias", alias)
    given = list(alias.columns)
    given += [exp.to_identifier(f"column{number}") for number in range(len(given) + 1, count + 1)]
    alias.set("columns", given)


def _repeats(alias: exp.Alias) -> bool:
    """Whether an alias only writes its column's name in another case."""
    return isinstance(alias.this, exp.Column) and fold(alias.this.name) == fold(alias.alias)


def _spelled(names: Iterable[object], dialect: str) -> dict[str, set[str]]:
    """The spellings that the dialect tells apart, by folded name."""
    found: dict[str, set[str]] = {}
    for name in names:
        if isinstance(name, exp.Identifier):
            plain = fold(name.name) if dialect == "postgres" else name.name.upper()
            found.setdefault(fold(name.name), set()).add(name.name if name.quoted else plain)
    return found


def _distinct(made: dict[str, set[str]], read: dict[str, set[str]]) -> None:
    for name, spellings in made.items():
        if len(spellings | read.get(name, set())) > 1:
            raise StatementRefused(
                "This statement cannot be translated exactly: two names differ by their case only.",
                advice="Give one of them another name.",
            )
