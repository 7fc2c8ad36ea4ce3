"""Clients' own ways to look around, over the real port: psql, SQLAlchemy, asyncpg, pg8000, JDBC, ODBC, DuckDB."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import asyncpg
import psycopg
import pytest
import sqlalchemy as sa

from tests.engine.catalog.warehouse import environment, psql
from tests.support.stack import Stack


@pytest.mark.client("psql")
def test_psql_describes_what_is_there(stack: Stack):
    assert "sales|customers|table|" in psql(stack, r"\dt sales.*")
    assert psql(stack, r"\dv sales.*").startswith("sales|v_orders|view|")
    assert psql(stack, r"\d").startswith("main|t|table|")
    assert [line.split("|")[:2] for line in psql(stack, r"\d sales.customers").splitlines()] == [
        ["id", "integer"],
        ["name", "text"],
        ["ssn", "text"],
        ["pay", "text"],
    ]
    assert "amount|numeric(12,2)|" in psql(stack, r"\d+ sales.orders")
    assert "SELECT id, amount FROM sales.orders" in psql(stack, r"\sv sales.v_orders")
    assert psql(stack, r"\l").startswith("production|")
    assert [line.split("|")[0] for line in psql(stack, r"\dn").splitlines()] == ["main", "sales"]
    assert "ana@acme.example" in psql(stack, r"\du")
    assert "=r/hatidata" in psql(stack, r"\dp t")
    words = "df dT dx di ds dm dy ddp drds dd db dD des dL dO dRp dF dX dconfig"
    psql(stack, *(f"\\{word}" for word in words.split()), r"\dC int4")


@pytest.mark.client("psql")
def test_h14_the_other_organization_is_not_in_the_catalog(stack: Stack):
    everything = psql(
        stack,
        r"\dt *.*",
        r"\dn+ *",
        r"\d sales.*",
        "select * from information_schema.tables",
        "select * from information_schema.columns",
        "select * from pg_class",
        "select * from pg_attribute",
        "select * from pg_tables",
        "select * from information_schema.schemata",
    )
    assert "zz_" not in everything
    assert "globex" not in everything
    theirs = psql(stack, r"\dt *.*", "select column_name from information_schema.columns", key="gil")
    assert "zz_secret" in theirs
    assert "customers" not in theirs


@pytest.mark.parametrize("key", ["aud", "mem"])
def test_w3_4_who_may_not_query_is_told_nothing_of_the_catalog(stack: Stack, key: str):
    with stack.connect(stack.keys[key]) as connection:
        for text in ("select count(*) from pg_class", "select to_regclass('sales.orders')", "select version()"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(text)


PROBES = [
    "select '{}'::regclass",
    "select to_regclass('{}')",
    "select '{}'::regtype",
    "select to_regtype('{}')",
    "select has_table_privilege('{}', 'SELECT')",
    "select has_any_column_privilege('{}', 'SELECT')",
    "select has_column_privilege('{}', 'zz_secret', 'SELECT')",
    "select pg_relation_size('{}'), pg_total_relation_size('{}')",
    "select pg_get_viewdef('{}')",
    "select obj_description('{}'::regclass, 'pg_class')",
    "select pg_get_serial_sequence('{}', 'zz_secret')",
    "select count(*) from pg_class where oid = to_regclass('{}')",
    "select count(*) from information_schema.columns where table_schema || '.' || table_name = '{}'",
    "select count(*) from pg_stat_user_tables where schemaname || '.' || relname = '{}'",
    "select '{}'::regnamespace",
    "select has_schema_privilege(split_part('{}', '.', 1), 'USAGE')",
    "select * from {}",
    "select 1 from pg_class, {}",
    "select to_regprocedure('{}(int)')",
    "select '{}'::regprocedure",
    "select to_regoperator('{}')",
    "select '{}'::regcollation",
    "select pg_describe_object('pg_class'::regclass, '{}'::regclass, 0)",
    "select * from pg_identify_object('pg_class'::regclass, to_regclass('{}')::oid, 0)",
    "select pg_identify_object_as_address('pg_class'::regclass, to_regclass('{}')::oid, 0)",
    "select pg_partition_root('{}')",
    "select has_column_privilege('{}', 'id', 'SELECT')",
    "select has_any_column_privilege('{}', 'SELECT')",
    "select has_table_privilege('{}', 'NOTHING')",
    "select pg_index_has_property('{}', 'clusterable')",
    "select count(*) from pg_depend where refobjid = '{}'::regclass",
    "select * from information_schema.view_table_usage where table_schema || '.' || table_name = '{}'",
    "select * from information_schema.udt_privileges where udt_schema || '.' || udt_name = '{}'",
    "select format('%s', variadic array['{}'::regclass::text])",
    "select count(*) from rows from (unnest(array['{}'::regclass]), generate_series(1, 2)) x",
    "select json_extract_path_text(to_json(array['{}'::regclass]), '0')",
]


def test_h14_hidden_and_absent_tables_look_alike_to_every_probe(stack: Stack):
    def told(name: str, probe: str) -> tuple[object, ...]:
        try:
            return ("rows", *connection.execute(probe.replace("{}", name)).fetchall())
        except psycopg.Error as error:
            said = str(error).replace(name, "X").replace(name.partition(".")[0], "X")
            return ("error", error.sqlstate, said)

    with stack.connect(stack.keys["ana"]) as connection:
        for probe in PROBES:
            hidden = told("globex.zz_hidden", probe)
            assert hidden == told("zlobex.zz_absent", probe), probe
            assert hidden == told("globex.zz_absent", probe), probe


@pytest.mark.parametrize("driver", ["psycopg", "pg8000"])
def test_sqlalchemy_reflects(stack: Stack, driver: str):
    url = sa.URL.create(f"postgresql+{driver}", "x", stack.keys["ana"], "localhost", stack.port, "production")
    if driver == "psycopg":
        arguments: dict[str, object] = {"sslmode": "verify-full", "sslrootcert": str(stack.ca)}
    else:
        arguments = {"ssl_context": ssl.create_default_context(cafile=str(stack.ca))}
    engine = sa.create_engine(url, connect_args=arguments)
    try:
        inspector = sa.inspect(engine)
        assert inspector.default_schema_name == "main"
        assert inspector.get_schema_names() == ["information_schema", "main", "sales"]
        assert inspector.get_table_names() == ["t"]
        assert inspector.get_view_names("sales") == ["v_orders", "v_totals"]
        columns = {c["name"]: str(c["type"]) for c in inspector.get_columns("orders", "sales")}
        assert columns["amount"] == "NUMERIC(12, 2)"
        assert columns["tags"] == "ARRAY"
        assert inspector.get_pk_constraint("orders", "sales")["constrained_columns"] == []
        metadata = sa.MetaData()
        metadata.reflect(engine, schema="sales", views=True)
        assert set(metadata.tables) == {"sales.customers", "sales.orders", "sales.v_orders", "sales.v_totals"}
        with engine.connect() as connection:
            rows = connection.execute(sa.select(metadata.tables["sales.customers"].c.ssn)).all()
        assert sorted(r.ssn for r in rows) == ["***4321", "***6789"]
    finally:
        engine.dispose()


def test_asyncpg_learns_types_of_arrays(stack: Stack):
    async def main() -> None:
        connection = await asyncpg.connect(
            user="x",
            password=stack.keys["ana"],
            host="localhost",
            port=stack.port,
            database="production",
            ssl=ssl.create_default_context(cafile=str(stack.ca)),
        )
        try:
            assert await connection.fetchval("select tags from sales.orders") == ["a", "b"]
            rows = await connection.fetch(
                "select array_agg(oid), array_agg(relname), current_schemas(true), '1 2'::int2vector from pg_class"
                " where relname = any($1)",
                ["orders"],
            )
            assert rows[0][1:] == (["orders"], ["pg_catalog", "main"], [1, 2])
            assert await connection.fetchval("select typname from pg_type where oid = any($1::oid[])", [23]) == "int4"
            assert await connection.fetchval("select 'sales.orders'::regclass") == "sales.orders"
        finally:
            await connection.close()

    asyncio.run(main())


def test_session_functions_follow_the_session(stack: Stack):
    with stack.connect(stack.keys["ana"]) as connection:
        row = connection.execute(
            "select current_user, current_database(), current_schema(), pg_backend_pid()"
        ).fetchone()
        assert row == ("ana@acme.example", "production", "main", connection.info.backend_pid)
        connection.execute("set time zone interval '+00:00' hour to minute")
        connection.execute("select set_config('application_name', 'tool', false)")
        assert connection.execute("show application_name").fetchone() == ("tool",)
        assert connection.execute("select current_setting('application_name')").fetchone() == ("tool",)
        connection.execute("select pg_catalog.set_config('search_path', '', false)")
        assert connection.execute("select current_schema()").fetchone() == (None,)
        assert connection.execute("select setting from pg_settings where name = 'application_name'").fetchone() == (
            "tool",
        )


def test_catalog_can_be_copied_and_errors_are_postgresqls(stack: Stack):
    with stack.connect(stack.keys["ana"]) as connection:
        with (
            connection.cursor() as cursor,
            cursor.copy("copy (select relname from pg_class where relname = 'orders') to stdout") as copy,
        ):
            assert b"".join(bytes(block) for block in copy) == b"orders\n"
        for text, state in (
            ("select 'no.such'::regclass", "42P01"),
            ("select 'globex.zz_hidden'::regclass", "42P01"),
            ("select nope from pg_class", "42703"),
            ("select * from sales.orders, pg_class", "42P01"),
            ("select pg_read_file('/etc/passwd')", "42501"),
        ):
            with pytest.raises(psycopg.Error) as caught:
                connection.execute(text)
            assert caught.value.sqlstate == state, text


@pytest.mark.client("DuckDB postgres scanner")
def test_duckdb_attaches(stack: Stack):
    extension = pytest.importorskip(
        "duckdb_extension_postgres_scanner", reason="the extension's wheel is not installed"
    )
    path = next(Path(extension.__file__).parent.rglob("postgres_scanner.duckdb_extension"))
    script = (
        "import duckdb\n"
        "c = duckdb.connect(config={'allow_unsigned_extensions': 'true'})\n"
        f"c.execute(\"load '{path}'\")\n"
        "c.execute(\"attach '' as pg (type postgres, read_only)\")\n"
        "print(c.execute('select ssn from pg.sales.customers order by id').fetchall())\n"
        "print(c.execute('select sum(amount) from pg.sales.v_orders').fetchall())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(stack), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "[('***6789',), ('***4321',)]" in done.stdout


@pytest.mark.client("ODBC")
def test_odbc_catalog_calls(stack: Stack):
    pyodbc = pytest.importorskip("pyodbc", reason="pyodbc is not installed", exc_type=ImportError)
    driver = next((p for p in Path("/usr/lib").glob("*/odbc/psqlodbcw.so")), None)
    if driver is None:
        pytest.skip("the PostgreSQL ODBC driver is not installed")
    for extra in ("", "UseDeclareFetch=1;Fetch=2;"):
        connection = pyodbc.connect(
            f"Driver={driver};Server=localhost;Port={stack.port};Database=production;UID=x;PWD={stack.keys['ana']};"
            f"SSLmode=verify-full;pqopt={{sslrootcert={stack.ca}}};{extra}"
        )
        try:
            cursor = connection.cursor()
            tables = [(r.table_schem, r.table_name, r.table_type) for r in cursor.tables()]
            assert ("sales", "v_orders", "VIEW") in tables
            columns = {r.column_name: r.type_name for r in cursor.columns(table="orders", schema="sales")}
            assert columns["amount"] == "numeric"
            assert cursor.primaryKeys("orders", schema="sales").fetchall() == []
            assert cursor.statistics("orders", schema="sales").fetchall() == []
        finally:
            connection.close()


JAVA = r"""
import java.sql.*; import java.util.*;
public class Meta {
  static String all(ResultSet r, int... places) throws Exception {
    StringBuilder s = new StringBuilder();
    while (r.next()) { for (int p : places) s.append(r.getString(p)).append('|'); s.append(' '); }
    r.close(); return s.toString();
  }
  public static void main(String[] a) throws Exception {
    Properties p = new Properties();
    p.put("user", "x"); p.put("password", System.getenv("PGPASSWORD")); p.put("sslmode", "verify-full");
    p.put("sslrootcert", System.getenv("PGSSLROOTCERT")); p.put("preferQueryMode", a[0]);
    String url = "jdbc:postgresql://localhost:" + System.getenv("PGPORT") + "/production";
    try (Connection c = DriverManager.getConnection(url, p)) {
      DatabaseMetaData d = c.getMetaData();
      System.out.println("schema " + c.getSchema());
      System.out.println("tables " + all(d.getTables(null, "sales", "%", new String[]{"TABLE", "VIEW"}), 3, 4));
      System.out.println("columns " + all(d.getColumns(null, "sales", "orders", "%"), 4, 6));
      System.out.println("keys " + all(d.getPrimaryKeys(null, "sales", "orders"), 4)
        + all(d.getImportedKeys(null, "sales", "orders"), 4)
        + all(d.getIndexInfo(null, "sales", "orders", false, false), 6));
      all(d.getSchemas(), 1); all(d.getTypeInfo(), 1); all(d.getUDTs(null, null, "%", null), 3);
      all(d.getFunctions(null, "public", "%"), 3); all(d.getProcedures(null, "public", "%"), 3);
      System.out.println("grants " + all(d.getTablePrivileges(null, "sales", "orders"), 6));
      all(d.getColumnPrivileges(null, "sales", "orders", "%"), 6);
      System.out.println("keywords " + (d.getSQLKeywords().length() > 100) + " " + d.getMaxColumnsInIndex());
      String some = "select id, amount, tags from sales.orders";
      try (Statement s = c.createStatement(); ResultSet r = s.executeQuery(some)) {
        ResultSetMetaData m = r.getMetaData();
        r.next();
        String tags = Arrays.toString((Object[]) r.getArray(3).getArray());
        System.out.println("types " + m.getColumnTypeName(2) + " " + tags);
      }
      String seen = "";
      for (int k = 0; k < 7; k++)
        try (PreparedStatement s = c.prepareStatement("select oid, relname from pg_class where oid = ?::regclass")) {
          s.setString(1, "sales.orders"); ResultSet r = s.executeQuery(); r.next(); seen = r.getString(2);
        }
      System.out.println("prepared " + seen);
    }
  }
}
"""


@pytest.mark.client("JDBC")
@pytest.mark.parametrize("mode", ["extended", pytest.param("simple", marks=pytest.mark.slow)])
def test_jdbc_metadata(stack: Stack, tmp_path: Path, mode: str):
    jar = Path("/usr/share/java/postgresql.jar")
    if shutil.which("javac") is None or shutil.which("java") is None or not jar.exists():
        pytest.skip("a JDK and libpostgresql-jdbc-java are not installed")
    (tmp_path / "Meta.java").write_text(JAVA)
    subprocess.run(["javac", "Meta.java"], cwd=tmp_path, check=True, timeout=120)
    done = subprocess.run(
        ["java", "-cp", f"{jar}:{tmp_path}", "Meta", mode],
        env=environment(stack), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert lines["schema"] == "main"
    assert lines["tables"].split() == ["customers|TABLE|", "orders|TABLE|", "v_orders|VIEW|", "v_totals|VIEW|"]
    assert "tags|_text|" in lines["columns"]
    assert lines["keys"].strip() == ""
    assert lines["grants"].split() == ["SELECT|"]
    assert lines["keywords"] == "true 32"
    assert lines["types"] == "numeric [a, b]"
    assert lines["prepared"] == "orders"


def test_sleep_is_cancelled_and_timed_out(stack: Stack):
    with stack.connect(stack.keys["ana"]) as connection:
        cancelling = threading.Timer(0.3, connection.cancel_safe)
        cancelling.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("select pg_sleep(60)")
        cancelling.join()
        connection.execute("set statement_timeout = '200ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("select pg_sleep(60)")
        assert connection.execute("select 1").fetchone() == (1,)
