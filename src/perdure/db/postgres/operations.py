"""The SQL of operators, by name. It uses only what version 1 of the schema has, but where it says so."""

from __future__ import annotations

ABOUT = """
    select current_setting('server_version'), (extract(epoch from clock_timestamp()) * 1000000)::bigint, current_user,
        current_database(),
        (select count(*) from pg_stat_activity where datname = current_database() and application_name = 'perdure'),
        current_setting('max_connections')
"""
RUNS = "select status, count(*) from perdure.runs group by status order by status"
TOTALS = """
    select coalesce(sum(head), 0), min(updated_at) filter (where status = 'waiting'),
        min(next_wake) filter (where status = 'pending'),
        (select count(*) from perdure.blobs),
        (select coalesce(sum(pg_total_relation_size(c.oid)), 0) from pg_class c
            join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'perdure' and c.relkind = 'r'),
        (select coalesce(max(n_dead_tup), 0) from pg_stat_user_tables
            where schemaname = 'perdure' and relname = 'runs')
    from perdure.runs
"""
SESSIONS = """
    select id, label, expires, (select count(*) from perdure.runs where session = s.id)
    from perdure.sessions s order by id
"""
INVALID = """
    select c.relname from pg_index i join pg_class c on c.oid = i.indexrelid
    join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'perdure' and not i.indisvalid
"""
RIGHTS = """
    select c.relname, string_agg(p.name, ', ' order by p.n)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace,
        (values (1, 'select'), (2, 'insert'), (3, 'update'), (4, 'delete')) as p (n, name)
    where n.nspname = 'perdure' and c.relkind = 'r' and (c.relname <> 'schema' or p.name = 'select')
        and not has_table_privilege(c.oid, p.name)
    group by c.relname order by c.relname
"""
OWNS_CELLS = "select pg_has_role(relowner, 'member') from pg_class where oid = 'perdure.cells'::regclass"
REWRITE_CELLS = "vacuum full perdure.cells"
ROLE_EXISTS = "select 1 from pg_roles where rolname = %(role)s"

# What a worker needs: rows, not tables. `update` is also what `for update` asks for.
GRANT = """
    grant usage on schema perdure to {role};
    grant select, insert, update, delete on all tables in schema perdure to {role};
    grant usage on all sequences in schema perdure to {role};
    alter default privileges in schema perdure grant usage on sequences to {role};
    revoke insert, update, delete on perdure.schema from {role};
    alter default privileges in schema perdure grant select, insert, update, delete on tables to {role}
"""
