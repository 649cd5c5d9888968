"""The SQL of the PostgreSQL backend, by name.

`now` is the time of tests; null means the database's own clock. It stands in a subselect, so that it is read once a
statement and may meet an index.
"""

from __future__ import annotations

NOW = "(select coalesce(%(now)s::bigint, (extract(epoch from clock_timestamp()) * 1000000)::bigint))"
READ_NOW = f"select {NOW}"

RUN_COLUMNS = (
    "r.rid, r.tenant, r.id, r.agent, r.version, r.status, r.reasons, r.labels, r.parent, r.created_at, r.updated_at, "
    "r.deadline, r.next_wake, r.head, r.head_hash, r.epoch, r.session, r.results, r.unclean, r.alone_deaths, "
    "r.inbox_seq, r.drained_seq, r.progress, "
    "r.priority, r.needs, r.base, r.base_hash, r.generation, r.ended_at, r.pruned_at, "
    "r.principal, r.subject"
)
LANE_AT = tuple(
    RUN_COLUMNS.split(", ").index(f"r.{name}") for name in ("agent", "version", "needs", "tenant")
)
ENDED = "('succeeded', 'partial', 'escalated', 'failed', 'cancelled', 'quarantined')"
_ENTRY_COLUMNS = (
    "rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash"
)

# the schema ---------------------------------------------------------------------------------------------------------

# Looked for in the catalogue, by the statement's snapshot: `to_regclass` may answer from a cache that knows nothing of
# what another has made while this one waited for the lock.
SERVER = """
    select current_setting('server_version_num')::int, current_setting('server_version'),
        current_setting('server_encoding'), current_setting('synchronous_commit'),
        exists (select 1 from pg_catalog.pg_tables where schemaname = 'perdure' and tablename = 'schema')
"""
LIMIT_LOCKS = 1348825701
"""The space of the advisory locks that claims within limits hold."""
SCHEMA_VERSION = "select version from perdure.schema"
SCHEMA_LOCK = (
    "select pg_advisory_xact_lock(1348825700)"  # ends with the transaction, so a pooler cannot strand it
)
SCHEMA_BEGIN = """
    create schema if not exists perdure;
    create table if not exists perdure.schema (version integer not null);
"""
SCHEMA_CLEAR = "delete from perdure.schema"
SCHEMA_SET = "insert into perdure.schema (version) values (%s)"

# Who is in the way of a migration: whoever holds a lock on one of the tables, the longest transaction first.
BLOCKERS = """
    select distinct a.pid, a.usename, coalesce(nullif(a.application_name, ''), 'unnamed'), a.state,
        extract(epoch from clock_timestamp() - a.xact_start)::int
    from pg_locks l
    join pg_class c on c.oid = l.relation
    join pg_namespace n on n.oid = c.relnamespace
    join pg_stat_activity a on a.pid = l.pid
    where n.nspname = 'perdure' and l.granted and l.pid <> pg_backend_pid()
        and l.database = (select oid from pg_database where datname = current_database())
    order by 5 desc nulls last limit 5
"""

# batches ------------------------------------------------------------------------------------------------------------

CHANNEL = "perdure_news"
LISTEN = f"listen {CHANNEL}"
BEGIN = """
    begin isolation level read committed; set local idle_in_transaction_session_timeout = '3s';
    insert into perdure.batches (writer, number, news, at)
    values ('{writer}', {number}, {news}, (extract(epoch from clock_timestamp()) * 1000000)::bigint)
    on conflict (writer) do update set number = excluded.number, news = batches.news + excluded.news, at = excluded.at
"""
"""The first words of a transaction: who has this row holds it until the transaction has ended.

A process that was stopped in the middle, or whose machine is gone, must not keep its locks: the server ends what stands
still. Said anew each time: behind a transaction pooler there is no session to say it to.
"""
TELL = f"; notify {CHANNEL}, '{{writer}}'"
BATCH_NUMBER = "select number from perdure.batches where writer = %s for update nowait"
FORGET_WRITER = "delete from perdure.batches where writer = %s"
FORGET_STALE = """
    delete from perdure.batches
    where at < (extract(epoch from clock_timestamp() - interval '7 days') * 1000000)::bigint
"""
OTHERS_NEWS = "select coalesce(sum(news), 0)::bigint from perdure.batches where writer <> %s"

# tenants and runs ---------------------------------------------------------------------------------------------------

TENANT_KEY = "select key from perdure.tenants where tenant = %(tenant)s"
ADD_TENANT = "insert into perdure.tenants (tenant, key) values (%(tenant)s, %(key)s) on conflict do nothing"

GET_RUN = f"select {RUN_COLUMNS} from perdure.runs r where tenant = %(tenant)s and id = %(id)s"
FIND_RUNS = f"select {RUN_COLUMNS} from perdure.runs r"
ENDED_RUNS = f"""
    select r.tenant, r.id from perdure.runs r
    join unnest(%(tenants)s::text[], %(ids)s::text[]) as a (tenant, id) on r.tenant = a.tenant and r.id = a.id
    where r.status in {ENDED}
"""
# A run, its tenant's key and the beginning of its journal: nothing of it where the run is there already, but the key.
ADD_RUN = f"""
    with secret as (
        insert into perdure.tenants (tenant, key) values (%(tenant)s, %(fresh)s) on conflict do nothing
    ), added as (
        insert into perdure.runs as r (tenant, id, agent, version, status, labels, parent, created_at, updated_at,
                                       deadline, next_wake, head, head_hash, priority, needs, principal, subject,
                                       ready)
        select %(tenant)s, %(id)s, %(agent)s, %(version)s, 'pending', %(labels)s::text[], %(parent)s, n.now, n.now,
            %(deadline)s::bigint, greatest(%(due)s::bigint, n.now), %(head)s, %(head_hash)s, %(priority)s, %(needs)s,
            %(principal)s, %(subject)s, %(due)s::bigint <= n.now
        from (select {NOW} as now) n
        on conflict (tenant, id) do nothing returning {RUN_COLUMNS}
    ), journal as (
        insert into perdure.entries ({_ENTRY_COLUMNS})
        select r.rid, e.* from added r, unnest(
            %(seq)s::bigint[], %(format)s::bigint[], %(kind)s::bigint[], %(key)s::text[], %(at)s::bigint[],
            %(took)s::bigint[], %(actor)s::text[], %(epoch)s::bigint[], %(codec)s::bigint[],
            %(fingerprint)s::bytea[], %(salt)s::bytea[], %(payload)s::bytea[], %(hash)s::bytea[]) as e
    )
    select {RUN_COLUMNS} from added r
"""

# entries ------------------------------------------------------------------------------------------------------------

READ_ENTRIES = """
    select seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt,
        coalesce(payload, (select data from perdure.blobs b where b.tenant = %(tenant)s and b.address = e.blob)), hash
    from perdure.entries e where rid = %(rid)s and seq > %(after)s order by seq limit %(limit)s
"""
READ_MANY = """
    select w.rid, e.*
    from unnest(%(rids)s::bigint[], %(tenants)s::text[], %(afters)s::bigint[]) as w (rid, tenant, after), lateral (
        select seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt,
            coalesce(payload, (select data from perdure.blobs b where b.tenant = w.tenant and b.address = e.blob)), hash
        from perdure.entries e where rid = w.rid and seq > w.after order by seq
    ) as e
"""
"""The journals of many runs, each from where its replay begins. Lateral: a join might read the whole table."""
ADD_ENTRIES = f"""
    insert into perdure.entries ({_ENTRY_COLUMNS})
    select * from unnest(
        %(rid)s::bigint[], %(seq)s::bigint[], %(format)s::bigint[], %(kind)s::bigint[], %(key)s::text[],
        %(at)s::bigint[], %(took)s::bigint[], %(actor)s::text[], %(epoch)s::bigint[], %(codec)s::bigint[],
        %(fingerprint)s::bytea[], %(salt)s::bytea[], %(payload)s::bytea[], %(hash)s::bytea[]) as e ({_ENTRY_COLUMNS})
"""
ADD_BLOB = f"""
    insert into perdure.blobs (tenant, address, data, at) values (%(tenant)s, %(address)s, %(data)s, {NOW})
    on conflict (tenant, address) do update set at = excluded.at
"""
ADD_BLOB_ENTRY = f"""
    insert into perdure.entries ({_ENTRY_COLUMNS.replace("payload", "blob")})
    values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
OWNER_OF = """
    select r.tenant, t.key from perdure.runs r join perdure.tenants t using (tenant) where rid = %(rid)s
"""

# Rows are locked in id order before the first is changed, so that two writers never wait for each other: all that
# `locked` is for. It is counted, not joined: the planner cannot know how many rows a lock lets through (31 us of the
# server's CPU a row at 64 runs, now 26). Whether an entry's run has passed is looked up only where one was refused.
APPEND = f"""
    with locked as (
        select 1 from perdure.runs where rid = any(%(f_rid)s::bigint[]) order by rid for update
    ), passed as (
        update perdure.runs r set head = f.last, head_hash = f.hash, results = r.results + f.results,
            unclean = case f.results when 0 then r.unclean else 0 end,
            alone_deaths = case f.results when 0 then r.alone_deaths else 0 end, updated_at = {NOW}
        from unnest(%(f_rid)s::bigint[], %(f_epoch)s::bigint[], %(f_head)s::bigint[], %(f_last)s::bigint[],
            %(f_hash)s::bytea[], %(f_results)s::bigint[]) as f (rid, epoch, head, last, hash, results)
        where (select count(*) from locked) > 0
            and r.rid = f.rid and r.epoch = f.epoch and r.head = f.head and r.status = 'running'
        returning r.rid
    ), added as (
        {ADD_ENTRIES}
        where (select count(*) from passed) = cardinality(%(f_rid)s::bigint[]) or e.rid in (select rid from passed)
    ), moved as (
        insert into perdure.audit_moved (rids, at) select %(f_rid)s::bigint[], {NOW}
    )
    select rid from passed
"""
"""`moved` tells the audit log: one row for all. That of a run which was refused has not moved does no harm."""
TELL_MOVED = """
    insert into perdure.audit_moved (rids, at)
    values ('{{{rids}}}', (extract(epoch from clock_timestamp()) * 1000000)::bigint);
"""
FENCE_STATE = "select epoch, head, status from perdure.runs where rid = %(rid)s"
WRITTEN = """
    select w.rid from unnest(%(rid)s::bigint[], %(seq)s::bigint[], %(hash)s::bytea[]) as w (rid, seq, hash)
    join perdure.entries e on e.rid = w.rid and e.seq = w.seq and e.hash = w.hash
"""

_CHANGE = f"""
    update perdure.runs set
        head = %(new_head)s, head_hash = coalesce(%(last_hash)s, head_hash), results = results + %(results)s,
        unclean = case %(results)s when 0 then unclean else 0 end,
        alone_deaths = case %(results)s when 0 then alone_deaths else 0 end, updated_at = {NOW},
        drained_seq = coalesce(%(drained)s, drained_seq), progress = coalesce(%(progress)s, progress)
"""
_FENCED = "where rid = %(run)s and epoch = %(run_epoch)s and head = %(head)s and status = 'running'"
CHANGE_RUN = f"{_CHANGE} {_FENCED}"
RELEASE_RUN = f"""{_CHANGE}, status = %(status)s, reasons = %(reasons)s::text[], next_wake = %(next_wake)s,
        ready = coalesce(%(next_wake)s::bigint <= {NOW}, false), session = null, alone = 0,
        ended_at = case when %(status)s in {ENDED} then {NOW} end,
        base = coalesce(%(base)s, base), base_hash = coalesce(%(base_hash)s, base_hash),
        generation = generation + (%(base)s::bigint is not null)::int
    {_FENCED} and (not %(guarded)s or inbox_seq = coalesce(%(drained)s, drained_seq))
"""


def with_entries(update: str, also: str = "") -> str:
    """A change of a run, and the entries that are written where it was made, as one statement."""
    return f"""
        with passed as ({update} returning rid), added as ({ADD_ENTRIES} where e.rid in (select rid from passed))
        {also} select rid from passed
    """


CHANGE_RUN_AND_APPEND = with_entries(CHANGE_RUN)
RELEASE_RUN_AND_APPEND = with_entries(RELEASE_RUN)
END_RUN_AND_APPEND = with_entries(
    RELEASE_RUN, ", closed as (delete from perdure.approvals where rid in (select rid from passed))"
)
"""A release that leaves no question open."""

# approvals ----------------------------------------------------------------------------------------------------------

OPEN_APPROVAL = """
    insert into perdure.approvals (rid, step, question, opened_at, due, show) values (%s, %s, %s, %s, %s, %s)
    on conflict (rid, step) do update
        set question = excluded.question, opened_at = excluded.opened_at, due = excluded.due, show = excluded.show
"""
CLOSE_APPROVAL = "delete from perdure.approvals where rid = %s and step = %s"
CLOSE_APPROVALS = "delete from perdure.approvals where rid = %s"
_OPEN = """
    from perdure.approvals a join perdure.runs r on r.rid = a.rid
    where (%(tenant)s::text is null or r.tenant = %(tenant)s) and (
        %(since)s::bigint is null
        or case when a.due is null then a.opened_at < %(since)s::bigint else a.due < %(now)s::bigint end
    )
"""
_PLACE = 'a.opened_at, r.tenant collate "C", r.id collate "C", a.step collate "C"'
APPROVALS = f"""
    select r.tenant, r.id, a.step, a.question, a.opened_at, a.due, r.agent, a.show {_OPEN}
        and (%(id)s::text is null or r.id = %(id)s)
        and (%(at)s::bigint is null
            or ({_PLACE}) > (%(at)s::bigint, %(after_tenant)s::text, %(after_run)s::text, %(after_step)s::text))
    order by {_PLACE} limit %(limit)s::bigint
"""
COUNT_APPROVALS = f"select count(*) {_OPEN}"

# messages -----------------------------------------------------------------------------------------------------------

INBOX = "select n, kind, name, id, sender, at, body from perdure.inbox where rid = %(rid)s and n > %(after)s order by n"
POST = f"""
    with run as (
        select rid, status, inbox_seq from perdure.runs where tenant = %(tenant)s and id = %(run)s for update
    ), message as (
        insert into perdure.inbox (rid, n, kind, name, id, sender, at, body)
        select rid, inbox_seq + 1, %(kind)s, %(name)s, %(id)s, %(sender)s, {NOW}, %(body)s from run
        where status not in {ENDED}
        on conflict (rid, id) do nothing returning rid
    ), stirred as (
        update perdure.runs r set inbox_seq = r.inbox_seq + 1,
            next_wake = case when r.status in ('waiting', 'pending') then least(r.next_wake, {NOW}) end,
            ready = r.status in ('waiting', 'pending')
        from message m where r.rid = m.rid returning r.rid
    )
    select run.status, (select count(*) from stirred) from run
"""
STIRRED = "select rid from perdure.runs where session = %(session)s and inbox_seq > drained_seq"

SEIZE = f"""
    update perdure.runs r set epoch = epoch + 1, session = null, status = 'running', next_wake = null, ready = false,
        alone = 0,
        updated_at = {NOW}
    where tenant = %(tenant)s and id = %(id)s and status not in {ENDED} returning {RUN_COLUMNS}
"""
WAKE = f"""
    update perdure.runs set next_wake = {NOW}, ready = true
    where tenant = %(tenant)s and id = %(id)s and status in ('pending', 'waiting')
"""
RESET = f"""
    update perdure.runs set next_wake = {NOW}, ready = true, status = 'pending', reasons = '{{}}', unclean = 0,
        alone_deaths = 0, ended_at = null
    where tenant = %(tenant)s and id = %(id)s and status in ('pending', 'waiting', 'quarantined')
        and pruned_at is null
"""

# sessions and claims ------------------------------------------------------------------------------------------------

REGISTER = f"""
    insert into perdure.sessions (id, label, lease, expires, about)
    values (%(session)s, %(label)s, %(lease)s, {NOW} + %(lease)s, %(about)s)
    on conflict (id) do update set label = excluded.label, lease = excluded.lease, expires = excluded.expires,
        about = excluded.about
"""
RENEW = f"""
    update perdure.sessions set expires = {NOW} + %(lease)s where id = %(session)s returning expires - %(lease)s
"""
EXPIRE = "update perdure.sessions set expires = 0 where id = %(session)s"
# A claim holds its session's row, and whoever ends a session takes that row first: no run is claimed for a session
# whose runs have just been taken from it.
HOLD_SESSION = f"select {NOW} from perdure.sessions where id = %(session)s for share"
LOCK_SESSION = "select 1 from perdure.sessions where id = %(session)s for update"
EXPIRED = f"select id from perdure.sessions where expires <= {NOW} order by id for update skip locked"
END_SESSION = "delete from perdure.sessions where id = %(session)s"
LET_GO = f"""
    update perdure.runs set status = 'pending', next_wake = {NOW}, ready = true, session = null, alone = 0,
        updated_at = {NOW}
    where session = %(session)s
"""
TAKE_OVER = f"""
    update perdure.runs set status = 'pending', next_wake = {NOW}, ready = true, session = null, alone = 0,
        updated_at = {NOW},
        unclean = case when results > claim_results then 0 else unclean + 1 end,
        alone_deaths = case when results > claim_results then 0 else alone_deaths + alone end
    where session = %(session)s
"""
ADRIFT = f"""
    update perdure.runs set status = 'pending', next_wake = {NOW}, ready = true, alone = 0
    where status = 'running' and session is null and updated_at < {NOW} - %(adrift)s
"""
_CLAIM = f"""
    update perdure.runs r set status = 'running', epoch = r.epoch + 1, session = %(session)s, next_wake = null,
        ready = false, claim_results = r.results, reasons = '{{}}', updated_at = {NOW}
    from due where r.rid = any(due.rids) returning {RUN_COLUMNS}
"""
CLAIM_ONE = f"""
    with found as materialized (
        select rid from perdure.runs where tenant = %(tenant)s and id = %(id)s
            and (status in ('pending', 'waiting') or (status = 'running' and session = %(session)s))
        for update
    ), due as (
        select array_agg(rid) as rids from found
    ) {_CLAIM}
"""
HAND_OVER = """
    update perdure.runs set session = %(session)s, alone = 1
    where rid = %(rid)s and epoch = %(epoch)s and session is not null
"""

# What is ready: walked lane by lane in the index `runs_ready`, so that a claim costs the same however much waits. Rows
# are updated by an array of their ids: the planner thinks an array short, and looks them up. For a join it guesses from
# a limit that it does not know, and may read the whole table.

BEGIN_CLAIM = f"""
    with held as (
        select id from perdure.sessions where id = %(session)s for share
    ), promoted as (
        update perdure.runs set ready = true
        where exists (select from held) and rid = any(array(
            select rid from perdure.runs where not ready and next_wake <= {NOW}
            order by next_wake limit %(promoted)s for update skip locked))
    )
    select (
        select array_agg(wanted) from unnest(%(wanted)s::text[]) as w (wanted)
        where pg_try_advisory_xact_lock({LIMIT_LOCKS}, hashtext(wanted))
    ), {NOW} from held
"""
RUNNING = """
    select agent, tenant, count(*) from perdure.runs
    where status = 'running' and (%(agents)s::text[] is null or agent = any(%(agents)s::text[])) group by agent, tenant
"""
_READY = "perdure.runs where ready and agent = p.agent and version = p.version"
WALK = f"""
    select p.n, lanes.needs, lanes.tenant
    from unnest(%(agents)s::text[], %(versions)s::text[], %(needs)s::text[], %(tenants)s::text[]) with ordinality
        as p (agent, version, needs, tenant, n),
    lateral (
        with recursive lane as (
            select p.needs, p.tenant, string_to_array(p.needs, ' ') <@ %(labels)s::text[] as served, 0 as number
            union all
            select next.needs, next.tenant, string_to_array(next.needs, ' ') <@ %(labels)s::text[], lane.number + 1
            from lane, lateral (
                (select 1 as far, needs, tenant from {_READY} and needs = lane.needs and tenant > lane.tenant
                    and lane.served order by tenant limit 1)
                union all
                (select 2, needs, tenant from {_READY} and needs > lane.needs order by needs, tenant limit 1)
                order by far limit 1
            ) as next
        )
        select needs, tenant from lane where served and number > 0 limit %(limit)s
    ) as lanes
    limit %(limit)s
"""
"""The lanes behind each of some places: one step in the index a lane, and one for needs that are not served."""
CLAIM_READY = f"""
    with found as materialized (
        select found.*, p.n
        from unnest(%(agents)s::text[], %(versions)s::text[], %(needs)s::text[], %(tenants)s::text[],
            %(runs)s::bigint[]) with ordinality as p (agent, version, needs, tenant, runs, n),
        lateral (
            select rid, priority, next_wake from {_READY} and needs = p.needs and tenant = p.tenant
            order by priority desc, next_wake, rid limit p.runs for update skip locked
        ) as found
    ), due as (
        select array_agg(rid order by n, priority desc, next_wake, rid) as rids from found
    ) {_CLAIM}, array_position(due.rids, r.rid)
"""
NEXT_TIMER = "select min(next_wake) from perdure.runs where not ready and next_wake is not null"
DEMANDS = """
    with recursive demand as (
        (select agent, version, needs from perdure.runs where ready order by agent, version, needs limit 1)
        union all
        select next.* from demand d, lateral (
            select agent, version, needs from perdure.runs
            where ready and (agent, version, needs) > (d.agent, d.version, d.needs)
            order by agent, version, needs limit 1
        ) as next
    )
    select agent, version, needs from demand
"""
COUNT_DEMANDS = f"""
    select agent, version, needs, count(*), min(next_wake) from (
        select agent, version, needs, next_wake from perdure.runs where ready
        union all
        select agent, version, needs, next_wake from perdure.runs where not ready and next_wake <= {NOW}
    ) as due group by agent, version, needs
"""
STRAND = """
    update perdure.runs set reasons = %(reasons)s::text[]
    where rid = any(array(
        select rid from perdure.runs
        where ready and agent = %(agent)s and version = %(version)s and needs = %(needs)s
            and reasons[1] is distinct from (%(reasons)s::text[])[1]
        order by tenant, priority desc, next_wake, rid limit %(limit)s for update skip locked))
"""
SESSIONS = f"""
    select id, label, about, expires, (select count(*) from perdure.runs r where r.session = s.id)
    from perdure.sessions s where expires > {NOW}
"""
