# ruff: noqa: E501 - queries as tools write them
"""What other tools ask (our own words for their questions): the shapes that break emulations, by tool."""

from __future__ import annotations

SHAPES: dict[str, list[str]] = {
    "npgsql": [
        """
        SELECT ns.nspname, t.oid, t.typname, t.typtype, t.typnotnull, t.elemtypoid
        FROM (SELECT typ.oid, typ.typnamespace, typ.typname, typ.typtype, typ.typrelid, typ.typnotnull, typ.relkind,
                     elemtyp.oid AS elemtypoid, elemtyp.typname AS elemtypname, elemcls.relkind AS elemrelkind,
                     CASE WHEN elemproc.proname = 'array_recv' THEN 'a' ELSE elemtyp.typtype END AS elemtyptype
              FROM (SELECT typ.oid, typnamespace, typname, typrelid, typnotnull, relkind, typelem AS elemoid,
                           CASE WHEN proc.proname = 'array_recv' THEN 'a' ELSE typ.typtype END AS typtype,
                           CASE WHEN proc.proname = 'array_recv' THEN typ.typelem WHEN typ.typtype = 'r' THEN rngsubtype
                                WHEN typ.typtype = 'm' THEN (SELECT rngtypid FROM pg_range WHERE rngmultitypid = typ.oid)
                                WHEN typ.typtype = 'd' THEN typ.typbasetype END AS elemtypoid
                    FROM pg_type AS typ LEFT JOIN pg_class AS cls ON (cls.oid = typ.typrelid)
                    LEFT JOIN pg_proc AS proc ON proc.oid = typ.typreceive
                    LEFT JOIN pg_range ON (pg_range.rngtypid = typ.oid)) AS typ
              LEFT JOIN pg_type AS elemtyp ON elemtyp.oid = elemtypoid
              LEFT JOIN pg_class AS elemcls ON (elemcls.oid = elemtyp.typrelid)
              LEFT JOIN pg_proc AS elemproc ON elemproc.oid = elemtyp.typreceive) AS t
        JOIN pg_namespace AS ns ON (ns.oid = typnamespace)
        WHERE ns.nspname = 'pg_catalog' AND (typtype IN ('b', 'r', 'm', 'e', 'd') OR (typtype = 'c' AND relkind = 'c')
          OR (typtype = 'p' AND typname IN ('record', 'void', 'unknown'))
          OR (typtype = 'a' AND (elemtyptype IN ('b', 'r', 'm', 'e', 'd') OR (elemtyptype = 'p' AND elemtypname IN
             ('record', 'void')) OR (elemtyptype = 'c' AND elemrelkind = 'c'))))
        ORDER BY CASE WHEN typtype IN ('b', 'e', 'p') THEN 0 WHEN typtype = 'c' THEN 1 WHEN typtype = 'r' THEN 2
                      WHEN typtype = 'm' THEN 3 WHEN typtype = 'd' AND elemtyptype <> 'a' THEN 4 WHEN typtype = 'a' THEN 5
                      WHEN typtype = 'd' AND elemtyptype = 'a' THEN 6 END, t.oid
        """,
        "SELECT pg_type.oid, enumlabel FROM pg_enum JOIN pg_type ON pg_type.oid = enumtypid ORDER BY oid, enumsortorder",
        """
        SELECT typ.oid, att.attname, att.atttypid FROM pg_type AS typ
        JOIN pg_namespace AS ns ON (ns.oid = typ.typnamespace) JOIN pg_class AS cls ON (cls.oid = typ.typrelid)
        JOIN pg_attribute AS att ON (att.attrelid = typ.typrelid)
        WHERE (typ.typtype = 'c' AND cls.relkind = 'c') AND attnum > 0 AND NOT attisdropped ORDER BY typ.oid, att.attnum
        """,
    ],
    "power bi": [
        "select character_set_name from INFORMATION_SCHEMA.character_sets",
        """
        select TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE from INFORMATION_SCHEMA.tables
        where TABLE_SCHEMA not in ('information_schema', 'pg_catalog') order by TABLE_SCHEMA, TABLE_NAME
        """,
        """
        select COLUMN_NAME, ORDINAL_POSITION, IS_NULLABLE,
               case when (data_type like '%unsigned%') then DATA_TYPE || ' unsigned' else DATA_TYPE end as DATA_TYPE
        from INFORMATION_SCHEMA.columns where TABLE_SCHEMA = 'sales' and TABLE_NAME = 'orders'
        order by TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION
        """,
        """
        select i.CONSTRAINT_SCHEMA || '_' || i.CONSTRAINT_NAME as INDEX_NAME, ii.COLUMN_NAME, ii.ORDINAL_POSITION,
               case when i.CONSTRAINT_TYPE = 'PRIMARY KEY' then 'Y' else 'N' end as PRIMARY_KEY
        from INFORMATION_SCHEMA.table_constraints i inner join INFORMATION_SCHEMA.key_column_usage ii
          on i.CONSTRAINT_SCHEMA = ii.CONSTRAINT_SCHEMA and i.CONSTRAINT_NAME = ii.CONSTRAINT_NAME
        where i.TABLE_SCHEMA = 'sales' and i.TABLE_NAME = 'orders' and i.CONSTRAINT_TYPE in ('PRIMARY KEY', 'UNIQUE')
        order by i.CONSTRAINT_SCHEMA || '_' || i.CONSTRAINT_NAME, ii.TABLE_SCHEMA, ii.TABLE_NAME, ii.ORDINAL_POSITION
        """,
        """
        select pkcol.COLUMN_NAME as PK_COLUMN_NAME, fkcol.TABLE_SCHEMA AS FK_TABLE_SCHEMA, fkcol.ORDINAL_POSITION as ORDINAL
        from (select distinct constraint_catalog, constraint_schema, unique_constraint_schema, constraint_name,
              unique_constraint_name from INFORMATION_SCHEMA.REFERENTIAL_CONSTRAINTS) fkcon
        inner join INFORMATION_SCHEMA.KEY_COLUMN_USAGE fkcol on fkcon.CONSTRAINT_SCHEMA = fkcol.CONSTRAINT_SCHEMA
        inner join INFORMATION_SCHEMA.KEY_COLUMN_USAGE pkcol on fkcon.UNIQUE_CONSTRAINT_SCHEMA = pkcol.CONSTRAINT_SCHEMA
        where pkcol.TABLE_SCHEMA = 'sales' and pkcol.ORDINAL_POSITION = fkcol.ORDINAL_POSITION
        order by fkcon.constraint_name, fkcol.ORDINAL_POSITION
        """,
    ],
    "grafana": [
        "select current_setting('server_version_num')::int/100 as version",
        """
        select case when quote_ident(table_schema) in (
          select case when trim(s[i]) = '"$user"' then user else trim(s[i]) end
          from generate_series(array_lower(string_to_array(current_setting('search_path'),','),1),
                               array_upper(string_to_array(current_setting('search_path'),','),1)) as i,
               string_to_array(current_setting('search_path'),',') s)
          then quote_ident(table_name) else quote_ident(table_schema) || '.' || quote_ident(table_name) end as "table"
        from information_schema.tables
        where quote_ident(table_schema) not in ('information_schema', 'pg_catalog', '_timescaledb_cache') order by 1
        """,
        """
        select quote_ident(column_name) as "column", data_type as "type" from information_schema.columns
        where case when array_length(parse_ident('sales.orders'), 1) = 2
              then quote_ident(table_schema) = (parse_ident('sales.orders'))[1]
                   and quote_ident(table_name) = (parse_ident('sales.orders'))[2]
              else quote_ident(table_name) = 'sales.orders' end
        order by 1
        """,
    ],
    "metabase": [
        """
        with table_privileges as (
          select null as role, t.schemaname as schema, t.objectname as table,
                 pg_catalog.has_any_column_privilege(current_user, format('%I.%I', t.schemaname, t.objectname)::regclass, 'update') as update,
                 pg_catalog.has_table_privilege(current_user, '"' || t.schemaname || '"' || '.' || '"' || t.objectname || '"', 'SELECT') as select
          from (select schemaname, tablename as objectname from pg_catalog.pg_tables
                union select schemaname, viewname as objectname from pg_views
                union select schemaname, matviewname as objectname from pg_matviews) t
          where t.schemaname !~ '^pg_' and t.schemaname <> 'information_schema'
            and pg_catalog.has_schema_privilege(current_user, t.schemaname, 'usage'))
        select t.* from table_privileges t order by 2, 3
        """,
        """
        SELECT n.nspname AS schema, c.relname AS name, CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'p' THEN 'PARTITIONED TABLE'
               WHEN 'v' THEN 'VIEW' WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE NULL END AS type,
               d.description AS description, stat.n_live_tup AS estimated_row_count
        FROM pg_catalog.pg_class AS c INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid
        LEFT JOIN pg_catalog.pg_description AS d ON ((c.oid = d.objoid) AND (d.objsubid = 0) AND (d.classoid = 'pg_class'::regclass))
        LEFT JOIN pg_stat_user_tables AS stat ON ((n.nspname = stat.schemaname) AND (c.relname = stat.relname))
        WHERE ((c.relnamespace = n.oid) AND (n.nspname !~ '^information_schema|catalog_history|pg_') AND c.relkind IN ('r', 'p', 'v', 'f', 'm'))
        ORDER BY type ASC, schema ASC, name ASC
        """,
        """
        SELECT c.column_name AS name, CASE WHEN c.udt_schema IN ('public', 'pg_catalog') THEN FORMAT('%s', c.udt_name)
               ELSE FORMAT('"%s"."%s"', c.udt_schema, c.udt_name) END AS "database-type", c.ordinal_position - 1 AS "database-position",
               c.table_schema AS "table-schema", c.table_name AS "table-name", pk.column_name IS NOT NULL AS "pk?",
               col_description(CAST(CAST(format('%I.%I', CAST(c.table_schema AS TEXT), CAST(c.table_name AS TEXT)) AS regclass) AS oid),
                               c.ordinal_position) AS "field-comment"
        FROM information_schema.columns AS c LEFT JOIN (
          SELECT tc.table_schema, tc.table_name, kc.column_name FROM information_schema.table_constraints AS tc
          INNER JOIN information_schema.key_column_usage AS kc ON (tc.constraint_name = kc.constraint_name)
          AND (tc.table_schema = kc.table_schema) AND (tc.table_name = kc.table_name) WHERE tc.constraint_type = 'PRIMARY KEY') AS pk
        ON (c.table_schema = pk.table_schema) AND (c.table_name = pk.table_name) AND (c.column_name = pk.column_name)
        WHERE c.table_schema !~ '^information_schema|catalog_history|pg_' AND (c.table_schema IN ('sales'))
        UNION ALL SELECT pa.attname AS name, CASE WHEN ptn.nspname IN ('public', 'pg_catalog') THEN FORMAT('%s', pt.typname)
               ELSE FORMAT('"%s"."%s"', ptn.nspname, pt.typname) END, pa.attnum - 1, pn.nspname, pc.relname, false, NULL
        FROM pg_catalog.pg_class AS pc INNER JOIN pg_catalog.pg_namespace AS pn ON pn.oid = pc.relnamespace
        INNER JOIN pg_catalog.pg_attribute AS pa ON pa.attrelid = pc.oid INNER JOIN pg_catalog.pg_type AS pt ON pt.oid = pa.atttypid
        INNER JOIN pg_catalog.pg_namespace AS ptn ON ptn.oid = pt.typnamespace
        WHERE pc.relkind = 'm' AND pa.attnum >= 1 ORDER BY 4, 5, 3
        """,
    ],
    "dbeaver": [
        "SELECT db.oid, db.datname FROM pg_catalog.pg_database db WHERE datallowconn AND NOT datistemplate AND datname <> 'postgres'",
        """
        SELECT n.oid, n.nspname, n.nspowner, d.description FROM pg_catalog.pg_namespace n
        LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = n.oid AND d.objsubid = 0 AND d.classoid = 'pg_namespace'::regclass
        WHERE n.nspname IN ('main', 'sales') ORDER BY nspname
        """,
        """
        SELECT c.oid, c.relname, c.relkind, d.description, pg_catalog.pg_get_expr(c.relpartbound, c.oid) as partition_expr,
               pg_catalog.pg_get_partkeydef(c.oid) as partition_key
        FROM pg_catalog.pg_class c LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = c.oid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass
        WHERE c.relnamespace = 'sales'::regnamespace AND c.relkind not in ('i', 'I', 'c') ORDER BY relname
        """,
        """
        SELECT c.relname, a.attname, pg_catalog.pg_get_expr(ad.adbin, ad.adrelid, true) as def_value, dsc.description, dep.objid
        FROM pg_catalog.pg_attribute a INNER JOIN pg_catalog.pg_class c ON (a.attrelid = c.oid)
        LEFT OUTER JOIN pg_catalog.pg_attrdef ad ON (a.attrelid = ad.adrelid AND a.attnum = ad.adnum)
        LEFT OUTER JOIN pg_catalog.pg_description dsc ON (c.oid = dsc.objoid AND a.attnum = dsc.objsubid)
        LEFT OUTER JOIN pg_depend dep on dep.refobjid = a.attrelid AND dep.deptype = 'i' and dep.refobjsubid = a.attnum and dep.classid = dep.refclassid
        WHERE NOT a.attisdropped AND c.relkind not in ('i', 'I', 'c') AND c.oid = 'sales.orders'::regclass AND attnum > 0 ORDER BY a.attnum
        """,
        "select pg_catalog.pg_total_relation_size(c.oid) >= 0, pg_catalog.pg_relation_size(c.oid) >= 0 FROM pg_class c WHERE c.relnamespace = 'sales'::regnamespace and relkind = 'r'",
        "SELECT current_schema(), session_user",
        "SELECT t.oid, t.typname, format_type(nullif(t.typbasetype, 0), t.typtypmod) as base_type_name FROM pg_catalog.pg_type t LEFT OUTER JOIN pg_catalog.pg_type et ON et.oid = t.typelem LEFT OUTER JOIN pg_catalog.pg_class c ON c.oid = t.typrelid WHERE t.typname IS NOT NULL AND t.typtype = 'b' AND (c.relkind IS NULL OR c.relkind = 'c') AND (et.typcategory IS NULL OR et.typcategory <> 'C') AND t.typnamespace = 11 ORDER BY t.oid",
    ],
    "pgadmin": [
        """
        SELECT db.datname, db.datallowconn, pg_catalog.pg_encoding_to_char(db.encoding) AS serverencoding,
               has_database_privilege(db.oid, 'CREATE') as cancreate, datistemplate
        FROM pg_catalog.pg_database db WHERE db.datname = current_database()
        """,
        """
        SELECT roles.rolname as name, roles.rolsuper as is_superuser,
               CASE WHEN roles.rolsuper THEN true ELSE roles.rolcreaterole END as can_create_role,
               CASE WHEN 'pg_signal_backend' = ANY(ARRAY(WITH RECURSIVE cte AS (
                 SELECT pg_roles.oid, pg_roles.rolname FROM pg_roles WHERE pg_roles.oid = roles.oid
                 UNION ALL SELECT m.roleid, pgr.rolname FROM cte cte_1 JOIN pg_auth_members m ON m.member = cte_1.oid
                 JOIN pg_roles pgr ON pgr.oid = m.roleid) SELECT rolname FROM cte)) THEN True ELSE False END as can_signal_backend
        FROM pg_catalog.pg_roles as roles WHERE rolname = current_user
        """,
        "SELECT count(extname) FROM pg_catalog.pg_extension WHERE extname = 'bdr'",
        "SELECT CASE WHEN usesuper THEN pg_catalog.pg_is_in_recovery() ELSE FALSE END as inrecovery FROM pg_catalog.pg_user WHERE usename = current_user",
        "SELECT gss_authenticated, encrypted FROM pg_catalog.pg_stat_gssapi WHERE pid = pg_backend_pid()",
        """
        SELECT rel.relname AS name, (SELECT count(*) FROM pg_trigger WHERE tgrelid = rel.oid AND tgisinternal = FALSE) AS triggercount,
               (SELECT count(*) FROM pg_trigger WHERE tgrelid = rel.oid AND tgisinternal = FALSE AND tgenabled = 'O') AS has_enable_triggers,
               (CASE WHEN rel.relkind = 'p' THEN true ELSE false END) AS is_partitioned,
               (SELECT count(1) FROM pg_catalog.pg_inherits WHERE inhrelid = rel.oid LIMIT 1) as is_inherits
        FROM pg_catalog.pg_class rel WHERE rel.relkind IN ('r', 's', 't', 'p') AND rel.relnamespace = 'sales'::regnamespace::oid
        AND NOT rel.relispartition ORDER BY rel.relname
        """,
        """
        SELECT DISTINCT att.attname as name, att.attnum as OID, pg_catalog.format_type(ty.oid, NULL) AS datatype,
               att.attnotnull as not_null, CASE WHEN att.atthasdef OR att.attidentity != '' OR ty.typdefault IS NOT NULL THEN True ELSE False END as has_default_val,
               pg_catalog.col_description(att.attrelid, att.attnum) as description
        FROM pg_catalog.pg_attribute att JOIN pg_catalog.pg_type ty ON ty.oid = atttypid
        JOIN pg_catalog.pg_namespace tn ON tn.oid = ty.typnamespace JOIN pg_catalog.pg_class cl ON cl.oid = att.attrelid
        JOIN pg_catalog.pg_namespace na ON na.oid = cl.relnamespace LEFT OUTER JOIN pg_catalog.pg_type et ON et.oid = ty.typelem
        LEFT OUTER JOIN pg_catalog.pg_attrdef def ON adrelid = att.attrelid AND adnum = att.attnum
        WHERE att.attrelid = 'sales.orders'::regclass AND att.attnum > 0 AND att.attisdropped IS FALSE ORDER BY att.attnum
        """,
        "SELECT nsp.nspname as name, has_schema_privilege(nsp.oid, 'CREATE') as can_create FROM pg_catalog.pg_namespace nsp WHERE nspname NOT LIKE E'pg\\\\_%' AND NOT ((nsp.nspname = 'information_schema' AND EXISTS (SELECT 1 FROM pg_catalog.pg_class WHERE relname = 'tables' AND relnamespace = nsp.oid LIMIT 1))) ORDER BY nspname",
    ],
    "dbt": [
        "select distinct nspname from pg_namespace where nspname not like 'pg_%' order by 1",
        "select count(*) from pg_namespace where nspname = 'sales'",
        """
        select 'production' as database, tablename as name, schemaname as schema, 'table' as type from pg_tables where schemaname ilike 'sales'
        union all select 'production', viewname, schemaname, 'view' from pg_views where schemaname ilike 'sales'
        union all select 'production', matviewname, schemaname, 'materialized_view' from pg_matviews where schemaname ilike 'sales' order by 2
        """,
        r"""
        with relation as (select pg_rewrite.ev_class as class, pg_rewrite.oid as id from pg_rewrite where ev_class > 16384),
        class as (select oid as id, relname as name, relnamespace as schema, relkind as kind from pg_class),
        dependency as (select distinct pg_depend.objid as id, pg_depend.refobjid as ref from pg_depend),
        schema as (select pg_namespace.oid as id, pg_namespace.nspname as name from pg_namespace where nspname != 'information_schema' and nspname not like 'pg\_%'),
        referenced as (select relation.id AS id, referenced_class.name, referenced_class.schema, referenced_class.kind from relation
          join class as referenced_class on relation.class = referenced_class.id where referenced_class.kind in ('r', 'v', 'm')),
        relationships as (select referenced.name as referenced_name, referenced.schema as referenced_schema_id, dependent_class.name as dependent_name,
          dependent_class.schema as dependent_schema_id from referenced join dependency on referenced.id = dependency.id
          join class as dependent_class on dependency.ref = dependent_class.id
          where (referenced.name != dependent_class.name or referenced.schema != dependent_class.schema))
        select referenced_schema.name as referenced_schema, relationships.referenced_name, dependent_schema.name as dependent_schema, relationships.dependent_name
        from relationships join schema as dependent_schema on relationships.dependent_schema_id = dependent_schema.id
        join schema as referenced_schema on relationships.referenced_schema_id = referenced_schema.id
        group by referenced_schema, referenced_name, dependent_schema, dependent_name
        """,
        """
        select tbl.relname, col.attname as column_name, pg_catalog.format_type(col.atttypid, col.atttypmod) as column_type,
               col.attnum as column_index, case tbl.relkind when 'v' then 'VIEW' else 'BASE TABLE' end as table_type, tbl_desc.description as table_comment
        from pg_catalog.pg_namespace sch join pg_catalog.pg_class tbl on tbl.relnamespace = sch.oid
        join pg_catalog.pg_attribute col on col.attrelid = tbl.oid
        left outer join pg_catalog.pg_description tbl_desc on (tbl_desc.objoid = tbl.oid and tbl_desc.objsubid = 0)
        where upper(sch.nspname) = upper('sales') and not pg_is_other_temp_schema(sch.oid) and tbl.relpersistence in ('p', 'u')
        and tbl.relkind in ('r', 'v', 'f', 'p', 'm') and col.attnum > 0 and not col.attisdropped order by sch.nspname, tbl.relname, col.attnum
        """,
    ],
    "rails": [
        """
        SELECT a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid), a.attnotnull, a.atttypid, a.atttypmod,
               c.collname, col_description(a.attrelid, a.attnum) AS comment, attidentity AS identity, attgenerated as attgenerated
        FROM pg_attribute a LEFT JOIN pg_attrdef d ON a.attrelid = d.adrelid AND a.attnum = d.adnum
        LEFT JOIN pg_type t ON a.atttypid = t.oid LEFT JOIN pg_collation c ON a.attcollation = c.oid AND a.attcollation <> t.typcollation
        WHERE a.attrelid = '"sales"."orders"'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
        """,
        "SELECT t.oid, t.typname, t.typelem, t.typdelim, t.typinput, r.rngsubtype, t.typtype, t.typbasetype FROM pg_type as t LEFT JOIN pg_range as r ON oid = rngtypid WHERE t.typname IN ('int2', 'int4', 'text', 'numrange', 'bool') ORDER BY 1",
        "SELECT c.relname FROM pg_class c LEFT JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY (current_schemas(false)) AND c.relkind IN ('r','p') ORDER BY 1",
        "SELECT a.attname FROM ( SELECT indrelid, indkey, generate_subscripts(indkey, 1) idx FROM pg_index WHERE indrelid = '\"sales\".\"orders\"'::regclass AND indisprimary ) i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[i.idx] ORDER BY i.idx",
    ],
    "django and others": [
        "SELECT c.relname, CASE WHEN c.relispartition THEN 'p' WHEN c.relkind IN ('m', 'v') THEN 'v' ELSE 't' END, obj_description(c.oid, 'pg_class') FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('f', 'm', 'p', 'r', 'v') AND n.nspname NOT IN ('pg_catalog', 'pg_toast') AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 1",
        "SELECT a.attname AS column_name, NOT (a.attnotnull OR (t.typtype = 'd' AND t.typnotnull)) AS is_nullable, pg_get_expr(ad.adbin, ad.adrelid) AS column_default, CASE WHEN collname = 'default' THEN NULL ELSE collname END AS collation, a.attidentity != '' AS is_autofield FROM pg_attribute a LEFT JOIN pg_attrdef ad ON a.attrelid = ad.adrelid AND a.attnum = ad.adnum LEFT JOIN pg_collation co ON a.attcollation = co.oid JOIN pg_type t ON a.atttypid = t.oid JOIN pg_class c ON a.attrelid = c.oid JOIN pg_namespace n ON c.relnamespace = n.oid WHERE c.relkind IN ('f', 'm', 'p', 'r', 'v') AND c.relname = 't' AND a.attnum > 0 AND n.nspname NOT IN ('pg_catalog', 'pg_toast') AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY a.attnum",
        "SELECT c.conname, array(SELECT attname FROM unnest(c.conkey) WITH ORDINALITY cols(colid, arridx) JOIN pg_attribute AS ca ON cols.colid = ca.attnum WHERE ca.attrelid = c.conrelid ORDER BY cols.arridx), c.contype, (SELECT fkc.relname || '.' || fka.attname FROM pg_attribute AS fka JOIN pg_class AS fkc ON fka.attrelid = fkc.oid WHERE fka.attrelid = c.confrelid AND fka.attnum = c.confkey[1]), cl.reloptions FROM pg_constraint AS c JOIN pg_class AS cl ON c.conrelid = cl.oid WHERE cl.relname = 't' AND pg_catalog.pg_table_is_visible(cl.oid)",
        "select relname, relkind::text, relnatts::int + 1 from pg_class where relnamespace = (select oid from pg_namespace where nspname = 'sales') order by relname collate \"C\" desc",
        "select distinct on (relkind) relkind, relname from pg_class where relnamespace = 'sales'::regnamespace order by relkind, relname",
        "select n.nspname, count(*) filter (where c.relkind = 'r') as tables, count(*) filter (where c.relkind = 'v') from pg_namespace n left join pg_class c on c.relnamespace = n.oid where n.nspname in ('main', 'sales') group by n.nspname having count(*) > 0 order by 2 desc, 1 limit 10 offset 0",
        "select exists (select from pg_class where relname = 'orders'), (select count(*) from pg_am) > 1, not exists (select 1 from pg_class where relname = 'nope')",
        "select c.relname, a.attnum from pg_class c cross join lateral (select attnum from pg_attribute where attrelid = c.oid and attnum > 0 order by attnum desc limit 1) a where c.relnamespace = 'sales'::regnamespace order by 1",
        "select row_number() over (partition by relnamespace order by relname) as n, relname from pg_class where relkind in ('r', 'v') and relnamespace in ('sales'::regnamespace, 'main'::regnamespace) order by 2",
        "select coalesce(nullif(current_setting('no.such.setting', true), ''), 'none'), version() ~ '^PostgreSQL', upper(left(current_user, 1))",
        "select relname from pg_class where (relname, relkind) in (('orders', 'r'), ('t', 'r'), ('t', 'v')) order by 1",
        "select table_schema || '.' || table_name from information_schema.tables where table_schema = any(string_to_array('sales,main', ',')) order by 1",
        "select column_name, data_type, udt_name, is_nullable, numeric_precision, numeric_scale, character_maximum_length, datetime_precision, ordinal_position, column_default, collation_name, dtd_identifier from information_schema.columns where table_schema = 'sales' order by table_name, ordinal_position",
        "select schema_name from information_schema.schemata where schema_name in ('sales', 'main') order by schema_name",
        "select catalog_name from information_schema.information_schema_catalog_name",
        "select attname, attlen, atttypid::regtype, attndims, attalign, attbyval, attstorage, attcollation from pg_attribute where attrelid = 'sales.orders'::regclass and attnum > 0 order by attnum",
    ],
}  # fmt: skip
"""tool -> queries; tables are those of `clients.RELATIONS`."""
