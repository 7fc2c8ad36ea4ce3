-- What servers that make an API of a database ask of its catalog: PostgREST, Hasura, Supabase's postgres-meta, pg_graphql.
-- postgrest: tables and their columns
with columns as (
  select nc.nspname::name as table_schema, c.relname::name as table_name, a.attname::name as column_name,
    d.description as description,
    case when t.typtype = 'd' then pg_get_expr(t.typdefaultbin, 0) when a.attidentity = 'd' then format('nextval(%s)', quote_literal(a.attname))
      when a.attgenerated = 's' then null else pg_get_expr(ad.adbin, ad.adrelid)::text end as column_default,
    not (a.attnotnull or t.typtype = 'd' and t.typnotnull) as is_nullable,
    case when t.typtype = 'd' then case when bt.typnamespace = 'pg_catalog'::regnamespace then format_type(t.typbasetype, null::integer) else format_type(a.atttypid, a.atttypmod) end
      else case when t.typnamespace = 'pg_catalog'::regnamespace then format_type(a.atttypid, null::integer) else format_type(a.atttypid, a.atttypmod) end end::text as data_type,
    format_type(a.atttypid, a.atttypmod)::text as nominal_data_type,
    information_schema._pg_char_max_length(information_schema._pg_truetypid(a.*, t.*), information_schema._pg_truetypmod(a.*, t.*))::integer as character_maximum_length,
    coalesce((select array_agg(e.enumlabel order by e.enumsortorder) from pg_enum e where e.enumtypid in (bt.oid, t.oid)), '{}') as enum_values,
    a.attnum::integer as position
  from pg_attribute a
  left join pg_description as d on d.objoid = a.attrelid and d.objsubid = a.attnum and d.classoid = 'pg_catalog.pg_class'::regclass
  left join pg_attrdef ad on a.attrelid = ad.adrelid and a.attnum = ad.adnum
  join (pg_class c join pg_namespace nc on c.relnamespace = nc.oid) on a.attrelid = c.oid
  join pg_type t on a.atttypid = t.oid
  left join pg_type bt on t.typtype = 'd' and t.typbasetype = bt.oid
  where not pg_is_other_temp_schema(nc.oid) and a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'v', 'f', 'm', 'p') and nc.nspname = any($$ {sales,main} $$::text[])
), columns_agg as (
  select table_schema, table_name,
    array_agg(row(column_name, description, is_nullable::boolean, data_type, nominal_data_type, character_maximum_length, column_default, enum_values) order by position) as columns
  from columns group by table_schema, table_name
), tbl_pk_cols as (
  select n.nspname, c.relname, array_agg(a.attname order by a.attname) as pk_cols
  from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
  join pg_attribute a on a.attrelid = c.oid and a.attnum = any(k.conkey)
  where k.contype = 'p' group by 1, 2
)
select n.nspname as table_schema, c.relname as table_name, d.description as table_description, c.relkind in ('v','m') as is_view,
  (c.relkind in ('r','p') or (c.relkind in ('v','f') and (pg_relation_is_updatable(c.oid::regclass, true) & 8) = 8)) as insertable,
  coalesce(tpks.pk_cols, '{}') as pk_cols, coalesce(cols_agg.columns, '{}') as columns
from pg_class c join pg_namespace n on n.oid = c.relnamespace
left join pg_description d on d.objoid = c.oid and d.objsubid = 0 and d.classoid = 'pg_catalog.pg_class'::regclass
left join tbl_pk_cols tpks on n.nspname = tpks.nspname and c.relname = tpks.relname
left join columns_agg cols_agg on n.nspname = cols_agg.table_schema and c.relname = cols_agg.table_name
where c.relkind in ('v','r','m','f','p') and n.nspname not in ('pg_catalog', 'information_schema') and not c.relispartition
order by table_schema, table_name;
-- postgrest: foreign keys, as pairs of columns
with pks_uniques_cols as (
  select conrelid, array_agg(conkey order by conkey) as cols from pg_constraint where contype in ('p', 'u') and connamespace <> 'pg_catalog'::regnamespace group by conrelid
)
select ns1.nspname as table_schema, tab.relname as table_name, ns2.nspname as foreign_table_schema, other.relname as foreign_table_name,
  (ns1.nspname, tab.relname) = (ns2.nspname, other.relname) as is_self, traint.conname as constraint_name, column_info.cols_and_fcols,
  (column_info.cols in (select * from unnest(pks_uqs.cols) as x)) as one_to_one
from pg_constraint traint
join lateral (
  select array_agg(row(cols.attname, refs.attname) order by ord) as cols_and_fcols, array_agg(cols.attnum order by cols.attnum) as cols
  from unnest(traint.conkey, traint.confkey) with ordinality as _(col, ref, ord)
  join pg_attribute cols on cols.attrelid = traint.conrelid and cols.attnum = col
  join pg_attribute refs on refs.attrelid = traint.confrelid and refs.attnum = ref
) as column_info on true
join pg_namespace ns1 on ns1.oid = traint.connamespace
join pg_class tab on tab.oid = traint.conrelid
join pg_class other on other.oid = traint.confrelid
join pg_namespace ns2 on ns2.oid = other.relnamespace
left join pks_uniques_cols pks_uqs on pks_uqs.conrelid = traint.conrelid
where traint.contype = 'f' and traint.conparentid = 0
order by traint.conrelid, traint.conname;
-- postgrest: functions
with base_types as (
  with recursive recurse as (
    select oid, typbasetype, typnamespace as base_namespace, coalesce(nullif(typbasetype, 0), oid) as base_type from pg_type
    union
    select t.oid, b.typbasetype, b.typnamespace as base_namespace, coalesce(nullif(b.typbasetype, 0), b.oid) as base_type
    from recurse t join pg_type b on t.typbasetype = b.oid
  ) select oid, base_namespace, base_type from recurse where typbasetype = 0
), arguments as (
  select oid, array_agg((coalesce(name, ''), type::regtype::text, case type when 'bit'::regtype then 'bit varying' when 'bit[]'::regtype then 'bit varying[]' when 'character'::regtype then 'character varying' else type::regtype::text end, idx <= (pronargs - pronargdefaults), coalesce(mode = 'v', false)) order by idx) as args,
    case count(*) - count(name) when 0 then true when 1 then (array_agg(type))[1] in ('bytea'::regtype, 'json'::regtype, 'jsonb'::regtype, 'text'::regtype, 'xml'::regtype) else false end as callable
  from pg_proc, unnest(proargnames, proargtypes, proargmodes) with ordinality as _ (name, type, mode, idx)
  where type is not null and proname in ('now', 'age') group by oid
)
select pn.nspname as proc_schema, p.proname as proc_name, d.description as proc_description, coalesce(a.args, '{}') as args,
  tn.nspname as schema, coalesce(comp.relname, t.typname) as name, p.proretset as rettype_is_setof,
  (t.typtype = 'c' or coalesce(proargmodes::text[] && '{t,b,o}', false)) as rettype_is_composite, bt.oid <> bt.base_type as rettype_is_composite_alias,
  p.provolatile, p.provariadic > 0 as hasvariadic, lower((regexp_split_to_array((regexp_split_to_array(iso_config, '='))[2], ','))[1]) as transaction_isolation_level
from pg_proc p left join arguments a on a.oid = p.oid join pg_namespace pn on pn.oid = p.pronamespace
join base_types bt on bt.oid = p.prorettype join pg_type t on t.oid = bt.base_type join pg_namespace tn on tn.oid = t.typnamespace
left join pg_class comp on comp.oid = t.typrelid left join pg_description as d on d.objoid = p.oid and d.classoid = 'pg_proc'::regclass
left join lateral unnest(proconfig) iso_config on iso_config like 'default_transaction_isolation%'
where t.oid <> 'trigger'::regtype and callable and prokind = 'f' and p.proname in ('now', 'age') order by 1, 2, args::text;
-- postgrest: settings of roles, of the database, time zones
with role_setting as (
  select r.rolname, unnest(r.rolconfig) as setting from pg_auth_members m join pg_roles r on r.oid = m.roleid where member = current_user::regrole::oid
), kv_settings as (
  select rolname, substr(setting, 1, strpos(setting, '=') - 1) as key, lower(substr(setting, strpos(setting, '=') + 1)) as value from role_setting
), iso_setting as (select rolname, value from kv_settings where key = 'default_transaction_isolation')
select kv.rolname, i.value as iso_lvl, coalesce(array_agg(row(kv.key, kv.value)) filter (where key <> 'default_transaction_isolation'), '{}') as role_settings
from kv_settings kv join pg_settings ps on ps.name = kv.key and (ps.context = 'user' or has_parameter_privilege(current_user::regrole::oid, ps.name, 'set'))
left join iso_setting i on i.rolname = kv.rolname group by kv.rolname, i.value;
with role_setting (database, setting) as (
  select setdatabase, unnest(setconfig) from pg_catalog.pg_db_role_setting
  where setrole = current_user::regrole::oid and setdatabase in (0, (select oid from pg_catalog.pg_database where datname = current_catalog))
), kv_settings (database, k, v) as (
  select database, substr(setting, 1, strpos(setting, '=') - 1), substr(setting, strpos(setting, '=') + 1) from role_setting where setting like 'pgrst_%'
) select distinct on (key) replace(k, 'pgrst_', '') as key, v as value from kv_settings, lateral (select k) as x(key) order by key, database desc nulls last;
select current_setting('server_version_num')::integer is not null, current_setting('server_version') is not null, version() ~ 'HatiData|PostgreSQL';
select count(*) > 100 from pg_timezone_names;
-- postgrest: what a schema's OpenAPI says
select pg_catalog.obj_description($$sales$$::regnamespace, 'pg_namespace');
-- hasura: tables
select schema.nspname as table_schema, "table".relname as table_name,
  coalesce((select jsonb_agg(jsonb_build_object('name', a.attname, 'position', a.attnum, 'type', json_build_object('name', coalesce(base_type.typname, t.typname), 'type', t.typtype), 'is_nullable', not a.attnotnull,
      'description', pg_catalog.col_description("table".oid, a.attnum), 'mutability', jsonb_build_object('is_insertable', a.attgenerated = '' and a.attidentity <> 'a', 'is_updatable', false)) order by a.attnum)
    from pg_catalog.pg_attribute a left join pg_catalog.pg_type t on t.oid = a.atttypid left join pg_catalog.pg_type base_type on base_type.oid = t.typbasetype
    where a.attrelid = "table".oid and a.attnum > 0 and not a.attisdropped), '[]') as columns,
  coalesce((select jsonb_agg(jsonb_build_object('constraint', jsonb_build_object('name', k.conname, 'oid', k.oid::integer), 'columns', k.conkey)) from pg_catalog.pg_constraint k where k.conrelid = "table".oid and k.contype = 'u'), '[]') as uniques,
  (select jsonb_build_object('constraint', jsonb_build_object('name', k.conname), 'columns', k.conkey) from pg_catalog.pg_constraint k where k.conrelid = "table".oid and k.contype = 'p') as primary_key,
  jsonb_build_object('description', description.description) as info, case "table".relkind when 'v' then jsonb_build_object('is_insertable', false) end as view_info
from pg_catalog.pg_class "table" join pg_catalog.pg_namespace schema on schema.oid = "table".relnamespace
left join pg_catalog.pg_description description on description.classoid = 'pg_catalog.pg_class'::regclass and description.objoid = "table".oid and description.objsubid = 0
where "table".relkind in ('r', 't', 'v', 'm', 'f', 'p') and schema.nspname not like 'pg_%' and schema.nspname not in ('information_schema', 'hdb_catalog', 'hdb_views') order by 1, 2;
select coalesce(json_agg(row_to_json(info)), '[]'::json) as tables from (select t.table_schema, t.table_name, json_agg(json_build_object('column', c.column_name, 'type', c.udt_name) order by c.ordinal_position) as columns
  from information_schema.tables t join information_schema.columns c using (table_schema, table_name) where t.table_schema = 'sales' group by 1, 2 order by 1, 2) as info;
select json_object_agg(relname, json_build_object('oid', oid::integer, 'kind', relkind) order by relname) from pg_class where relnamespace = 'sales'::regnamespace and relkind in ('r', 'v') and oid < 0;
select coalesce(json_agg(json_build_object('name', nspname) order by nspname), '[]') from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema';
select schemas.name from unnest(array['main', 'sales']) as schemas(name) where has_schema_privilege(schemas.name, 'usage');
-- supabase postgres-meta: tables with their parts
with tables as (
  select c.oid :: int8 as id, nc.nspname as schema, c.relname as name, c.relrowsecurity as rls_enabled, c.relforcerowsecurity as rls_forced,
    case when c.relreplident = 'd' then 'DEFAULT' when c.relreplident = 'i' then 'INDEX' when c.relreplident = 'f' then 'FULL' else 'NOTHING' end as replica_identity,
    pg_stat_get_live_tuples(c.oid) as live_rows_estimate, obj_description(c.oid) as comment, coalesce(pk.primary_keys, '[]') as primary_keys,
    coalesce(jsonb_agg(relationships) filter (where relationships is not null), '[]') as relationships
  from pg_namespace nc join pg_class c on nc.oid = c.relnamespace
  left join (select table_id, jsonb_agg(_pk.*) as primary_keys from (
    select n.nspname as schema, c.relname as table_name, a.attname as name, c.oid :: int8 as table_id
    from pg_index i, pg_class c, pg_attribute a, pg_namespace n where i.indrelid = c.oid and c.relnamespace = n.oid and a.attrelid = c.oid and a.attnum = any (i.indkey) and i.indisprimary and n.nspname = 'sales') as _pk group by table_id) as pk on pk.table_id = c.oid
  left join (select c.oid :: int8 as id, c.conname as constraint_name, nsa.nspname as source_schema, csa.relname as source_table_name, sa.attname as source_column_name
    from pg_constraint c join (pg_attribute sa join pg_class csa on sa.attrelid = csa.oid join pg_namespace nsa on csa.relnamespace = nsa.oid) on sa.attrelid = c.conrelid and sa.attnum = any (c.conkey) where c.contype = 'f') as relationships on (relationships.source_schema = nc.nspname and relationships.source_table_name = c.relname)
  where c.relkind in ('r', 'p') and not pg_is_other_temp_schema(nc.oid) and (pg_has_role(c.relowner, 'USAGE') or has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') or has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE, REFERENCES'))
  group by c.oid, c.relname, c.relrowsecurity, c.relforcerowsecurity, c.relreplident, nc.nspname, pk.primary_keys
), columns as (
  select c.oid :: int8 as table_id, nc.nspname as schema, c.relname as table, (c.oid || '.' || a.attnum) as id, a.attnum as ordinal_position, a.attname as name,
    case when t.typtype = 'd' then case when bt.typelem <> 0 :: oid and bt.typlen = -1 then 'ARRAY' else format_type(t.typbasetype, null) end else case when t.typelem <> 0 :: oid and t.typlen = -1 then 'ARRAY' when nt.nspname = 'pg_catalog' then format_type(a.atttypid, null) else 'USER-DEFINED' end end as data_type,
    coalesce(bt.typname, t.typname) as format, a.attidentity in ('a', 'd') as is_identity, not (a.attnotnull or t.typtype = 'd' and t.typnotnull) as is_nullable,
    array_to_json(array(select enumlabel from pg_catalog.pg_enum enums where enums.enumtypid = coalesce(bt.oid, t.oid) order by enums.enumsortorder)) as enums, col_description(c.oid, a.attnum) as comment
  from pg_attribute a join (pg_class c join pg_namespace nc on c.relnamespace = nc.oid) on a.attrelid = c.oid join (pg_type t join pg_namespace nt on t.typnamespace = nt.oid) on a.atttypid = t.oid
  left join (pg_type bt join pg_namespace nbt on bt.typnamespace = nbt.oid) on t.typtype = 'd' and t.typbasetype = bt.oid
  where not pg_is_other_temp_schema(nc.oid) and a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'v', 'm', 'f', 'p')
)
select tables.name, tables.schema, tables.primary_keys, tables.relationships, coalesce((select array_agg(row_to_json(columns) order by ordinal_position) filter (where columns.table_id = tables.id) from columns), '{}') is not null as columns
from tables where schema in ('sales', 'main');
select coalesce(jsonb_agg(to_jsonb(x) - 'oid'), '[]') from (select n.nspname as schema, t.typname as name, format_type(t.oid, null) as format, coalesce(t_enums.enums, '[]') as enums, coalesce(t_attributes.attributes, '[]') as attributes, t.oid::int8 as oid
  from pg_type t left join pg_namespace n on n.oid = t.typnamespace
  left join (select enumtypid, jsonb_agg(enumlabel order by enumsortorder) as enums from pg_enum group by enumtypid) as t_enums on t_enums.enumtypid = t.oid
  left join (select oid, jsonb_agg(jsonb_build_object('name', a.attname, 'type_id', a.atttypid::int8) order by a.attnum asc) as attributes from pg_class c join pg_attribute a on a.attrelid = c.oid where c.relkind = 'c' and not a.attisdropped group by c.oid) as t_attributes on t_attributes.oid = t.typrelid
  where t.typname in ('int4', 'text', 'bool') order by t.typname) x;
-- pg_graphql: one document of all that is there
select jsonb_build_object(
  'schemas', (select jsonb_object_agg(pn.nspname, jsonb_build_object('name', pn.nspname, 'comment', pg_catalog.obj_description(pn.oid, 'pg_namespace'))) from pg_namespace pn where pn.nspname in ('sales', 'main')),
  'tables', (select coalesce(jsonb_object_agg(pc.relname, jsonb_build_object('name', pc.relname::text, 'relkind', pc.relkind::text, 'schema', schemas_.nspname, 'reloptions', pc.reloptions,
     'columns', (select jsonb_agg(jsonb_build_object('name', pa.attname::text, 'type_name', format_type(pa.atttypid, pa.atttypmod), 'is_not_null', pa.attnotnull, 'attribute_num', pa.attnum, 'has_default', pd.adbin is not null,
         'permissions', jsonb_build_object('is_selectable', pg_catalog.has_column_privilege(current_user, pa.attrelid, pa.attname, 'SELECT'), 'is_insertable', pg_catalog.has_column_privilege(current_user, pa.attrelid, pa.attname, 'INSERT'))) order by pa.attnum)
       from pg_catalog.pg_attribute pa left join pg_catalog.pg_attrdef pd on (pa.attrelid, pa.attnum) = (pd.adrelid, pd.adnum) where pa.attrelid = pc.oid and pa.attnum > 0 and not pa.attisdropped)
     )), '{}'::jsonb) from pg_class pc join pg_namespace schemas_ on schemas_.oid = pc.relnamespace where schemas_.nspname in ('sales', 'main') and pc.relkind = any(array['r', 'v', 'm', 'f']))
);
-- prisma introspection
select tbl.relname as table_name, namespace.nspname as namespace, (tbl.relhassubclass and tbl.relkind = 'p') as is_partition, (tbl.relhassubclass and tbl.relkind = 'r') as has_subclass, tbl.relrowsecurity as has_row_level_security, reloptions, obj_description(tbl.oid, 'pg_class') as description
from pg_class as tbl inner join pg_namespace as namespace on namespace.oid = tbl.relnamespace where (tbl.relkind = 'r' and not tbl.relispartition or tbl.relkind = 'p') and namespace.nspname = any ( array['main', 'sales'] ) order by namespace, table_name;
select oid.namespace, info.table_name, info.column_name, format_type(att.atttypid, att.atttypmod) as formatted_type, info.numeric_precision, info.numeric_scale, info.numeric_precision_radix, info.datetime_precision, info.data_type, info.udt_schema as type_schema_name, info.udt_name as full_data_type,
  pg_get_expr(attdef.adbin, attdef.adrelid) as column_default, info.is_nullable, info.is_identity, info.character_maximum_length, col_description(att.attrelid, ordinal_position) as description
from information_schema.columns info join pg_attribute att on att.attname = info.column_name
join (select pg_class.oid, relname, pg_namespace.nspname as namespace from pg_class join pg_namespace on pg_namespace.oid = pg_class.relnamespace and pg_namespace.nspname = any ( array['main', 'sales'] ) where reltype > 0) as oid on oid.oid = att.attrelid and relname = info.table_name and namespace = info.table_schema
left outer join pg_attrdef attdef on attdef.adrelid = att.attrelid and attdef.adnum = att.attnum and table_schema = namespace where table_schema = any ( array['main', 'sales'] ) and att.attnum > 0 order by namespace, table_name, ordinal_position;
with rawindex as (
  select indrelid, indexrelid, indisunique, indisprimary, unnest(indkey) as indkeyid, generate_subscripts(indkey, 1) as indkeyidx, unnest(indclass) as indclass, unnest(indoption) as indoption from pg_index where indpred is null and not indisexclusion
)
select schemainfo.nspname as namespace, indexinfo.relname as index_name, tableinfo.relname as table_name, columninfo.attname as column_name, rawindex.indisunique as is_unique, rawindex.indisprimary as is_primary_key, rawindex.indkeyidx as column_index, opclass.opcname as opclass, opclass.opcdefault as opcdefault, indexaccess.amname as index_algo,
  case rawindex.indoption & 1 when 1 then 'DESC' else 'ASC' end as column_order, case rawindex.indoption & 2 when 2 then true else false end as nulls_first, pc.condeferrable as condeferrable, pc.condeferred as condeferred
from rawindex inner join pg_class as tableinfo on tableinfo.oid = rawindex.indrelid inner join pg_class as indexinfo on indexinfo.oid = rawindex.indexrelid inner join pg_namespace as schemainfo on schemainfo.oid = tableinfo.relnamespace
left join pg_attribute as columninfo on columninfo.attrelid = tableinfo.oid and columninfo.attnum = rawindex.indkeyid inner join pg_am as indexaccess on indexaccess.oid = indexinfo.relam left join pg_opclass as opclass on opclass.oid = rawindex.indclass left join pg_constraint pc on rawindex.indexrelid = pc.conindid and pc.contype <> 'f'
where schemainfo.nspname = any ( array['main', 'sales'] ) order by namespace, table_name, index_name, column_index;
select exists(select 1 from pg_catalog.pg_namespace where nspname = 'sales'), version() is not null, current_setting('server_version_num')::integer > 150000 as numeric_version, current_setting('server_version') is null;
select t.typname as name, e.enumlabel as value, n.nspname as namespace, obj_description(t.oid, 'pg_type') as description from pg_type t join pg_enum e on t.oid = e.enumtypid join pg_catalog.pg_namespace n on n.oid = t.typnamespace where n.nspname = any ( array['main', 'sales'] ) order by e.enumsortorder;
-- retool, dashboards
select json_agg(t) from (select c.table_schema, c.table_name, json_agg(json_build_object('name', c.column_name, 'type', c.data_type, 'nullable', c.is_nullable = 'YES') order by c.ordinal_position) as columns from information_schema.columns c where c.table_schema not in ('pg_catalog', 'information_schema') group by c.table_schema, c.table_name order by 1, 2) t;
select table_schema || '.' || table_name as "table", json_object_agg(column_name, data_type order by ordinal_position) as columns from information_schema.columns where table_schema in ('sales', 'main') group by 1 order by 1;
select json_build_object('tables', json_agg(x.name order by x.name)) ->> 'tables' from (select table_name::text as name from information_schema.tables where table_schema = 'sales') x;
-- zapatos, pg-to-ts, kanel
select c.table_schema, jsonb_agg(distinct c.udt_name) as types, jsonb_object_agg(c.column_name, c.udt_name) filter (where c.is_nullable = 'YES') as nullable from information_schema.columns c where c.table_name in ('orders', 't') group by 1 order by 1;
select jsonb_build_object('name', typname, 'kind', typtype) from pg_type where typname in ('int4', 'text') order by typname;
select rel.relname, jsonb_array_length(jsonb_agg(att.attname)) from pg_class rel join pg_attribute att on att.attrelid = rel.oid where rel.relname in ('orders', 't') and att.attnum > 0 group by 1 order by 1;
select e.value ->> 'a' as a, e.ordinality from jsonb_array_elements((select jsonb_agg(jsonb_build_object('a', amname) order by amname) from pg_am)) with ordinality e order by 2;
select key, value from json_each_text((select json_object_agg(amname, amtype order by amname) from pg_am)) order by key;
select x.table_name, x.n from jsonb_to_recordset((select jsonb_agg(jsonb_build_object('table_name', relname, 'n', relnatts)) from pg_class where relname in ('orders', 't'))) as x(table_name text, n int) order by 1;
