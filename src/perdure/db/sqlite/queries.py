"""The SQL of the SQLite backend, by name."""

from __future__ import annotations

from functools import cache

RUN_COLUMNS = (
    "rid, tenant, id, agent, version, status, reasons, labels, parent, created_at, updated_at, deadline, next_wake, "
    "head, head_hash, epoch, session, results, unclean, alone_deaths, inbox_seq, drained_seq, progress, "
    "priority, needs, base, base_hash, generation, ended_at, pruned_at, principal, subject"
)
ENTRY_COLUMNS = (
    "seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, "
    "coalesce(payload, (select data from blobs where tenant = ?2 and address = blob)), hash"
)
ENDED = "('succeeded', 'partial', 'escalated', 'failed', 'cancelled', 'quarantined')"

TENANT_KEY = "select key from tenants where tenant = ?"
ADD_TENANT = "insert or ignore into tenants (tenant, key) values (?, ?)"

GET_RUN = f"select {RUN_COLUMNS} from runs where tenant = ? and id = ?"
GET_RUN_BY_RID = f"select {RUN_COLUMNS} from runs where rid = ?"
FIND_RUNS = f"select {RUN_COLUMNS} from runs"
ADD_RUN = """
    insert into runs (tenant, id, agent, version, status, labels, parent, created_at, updated_at, deadline, next_wake,
                      head, head_hash, priority, needs, principal, subject, ready)
    values (?1, ?2, ?3, ?4, 'pending', ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?10 <= ?7)
    on conflict (tenant, id) do nothing returning rid
"""
READ_ENTRIES = f"""
    select {ENTRY_COLUMNS} from entries where rid = ?1 and seq > ?3 order by seq limit ?4
"""
ADD_BLOB = """
    insert into blobs (tenant, address, data, at) values (?, ?, ?, ?) on conflict do update set at = excluded.at
"""
ADD_BLOB_ENTRY = """
    insert into entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash,
                         blob)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, null, ?, ?)
"""


@cache
def add_entries(rows: int) -> str:
    """One statement for many rows: each step of a statement hands the GIL over, which costs more than a row."""
    row = "(" + ",".join("?" * 14) + ")"
    return (
        "insert into entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, "
        "hash) values " + ",".join([row] * rows)
    )


@cache
def fence(rows: int) -> str:
    """Advance the heads of many runs, each only where epoch and head are the expected ones. `?1` is the time."""
    return (
        "update runs set head = v.column4, head_hash = v.column5, results = results + v.column6, "
        "unclean = iif(v.column6, 0, unclean), alone_deaths = iif(v.column6, 0, alone_deaths), updated_at = ?1 "
        "from (values "
        + ",".join(["(?,?,?,?,?,?)"] * rows)
        + ") v where runs.rid = v.column1 and runs.epoch = v.column2 and runs.head = v.column3 "
        "and runs.status = 'running'"
    )


FENCE_STATE = "select epoch, head, status from runs where rid = ?"

CHANGE_RUN = """
    update runs set
        head = :new_head, head_hash = coalesce(:hash, head_hash), results = results + :results,
        unclean = iif(:results, 0, unclean), alone_deaths = iif(:results, 0, alone_deaths), updated_at = :now,
        drained_seq = coalesce(:drained, drained_seq), progress = coalesce(:progress, progress)
    where rid = :rid and epoch = :epoch and head = :head and status = 'running'
"""
RELEASE_RUN = """
    update runs set
        head = :new_head, head_hash = coalesce(:hash, head_hash), results = results + :results,
        unclean = iif(:results, 0, unclean), alone_deaths = iif(:results, 0, alone_deaths), updated_at = :now,
        drained_seq = coalesce(:drained, drained_seq), progress = coalesce(:progress, progress),
        status = :status, reasons = :reasons, next_wake = :next_wake,
        ready = coalesce(:next_wake <= :now, 0), session = null, alone = 0,
        ended_at = iif(:ended, :now, null), base = coalesce(:base, base), base_hash = coalesce(:base_hash, base_hash),
        generation = generation + (:base is not null)
    where rid = :rid and epoch = :epoch and head = :head and status = 'running'
        and (not :guarded or inbox_seq = coalesce(:drained, drained_seq))
"""

OPEN_APPROVAL = """
    insert or replace into approvals (rid, step, question, opened_at, due, show) values (?, ?, ?, ?, ?, ?)
"""
CLOSE_APPROVAL = "delete from approvals where rid = ? and step = ?"
CLOSE_APPROVALS = "delete from approvals where rid = ?"
_OPEN = """
    from approvals a join runs r on r.rid = a.rid where (:tenant is null or r.tenant = :tenant)
        and (:since is null or iif(a.due is null, a.opened_at < :since, a.due < :now))
"""
APPROVALS = f"""
    select r.tenant, r.id, a.step, a.question, a.opened_at, a.due, r.agent, a.show {_OPEN}
        and (:id is null or r.id = :id)
        and (:at is null or (a.opened_at, r.tenant, r.id, a.step) > (:at, :after_tenant, :after_run, :after_step))
    order by a.opened_at, r.tenant, r.id, a.step limit :limit
"""
COUNT_APPROVALS = f"select count(*) {_OPEN}"

GET_CELL = "select data, due from cells where tenant = ? and kind = ? and name = ?"
PUT_CELL = "insert or replace into cells (tenant, kind, name, data, due) values (?, ?, ?, ?, ?)"
DROP_CELL = "delete from cells where tenant = ? and kind = ? and name = ?"

INBOX = "select n, kind, name, id, sender, at, body from inbox where rid = ? and n > ? order by n"
ADD_MESSAGE = """
    insert or ignore into inbox (rid, n, kind, name, id, sender, at, body)
    select rid, inbox_seq + 1, ?2, ?3, ?4, ?5, ?6, ?7 from runs where rid = ?1
"""
STIR_RUN = """
    update runs set inbox_seq = inbox_seq + 1,
        next_wake = case when status in ('waiting', 'pending') then min(coalesce(next_wake, ?2), ?2) end,
        ready = status in ('waiting', 'pending')
    where rid = ?1
"""
STIRRED = "select rid from runs where session = ? and inbox_seq > drained_seq"

SEIZE = f"""
    update runs set epoch = epoch + 1, session = null, status = 'running', next_wake = null, ready = 0, alone = 0,
        updated_at = ?3
    where tenant = ?1 and id = ?2 and status not in {ENDED} returning {RUN_COLUMNS}
"""
WAKE = """
    update runs set next_wake = ?3, ready = 1 where tenant = ?1 and id = ?2 and status in ('pending', 'waiting')
"""
RESET = """
    update runs set next_wake = ?3, ready = 1, status = 'pending', reasons = '[]', unclean = 0, alone_deaths = 0,
        ended_at = null
    where tenant = ?1 and id = ?2 and status in ('pending', 'waiting', 'quarantined') and pruned_at is null
"""

REGISTER = "insert or replace into sessions (id, label, lease, expires, about) values (?, ?, ?, ?, ?)"
SESSION_EXISTS = "select count(*) from sessions where id = ?"
RENEW = "update sessions set expires = ? where id = ?"
EXPIRE = "update sessions set expires = 0 where id = ?"
END_SESSION = "delete from sessions where id = ?"
LET_GO = """
    update runs set status = 'pending', next_wake = ?2, ready = 1, session = null, alone = 0, updated_at = ?2
    where session = ?1
"""
EXPIRED = "select id from sessions where expires <= ?"
TAKE_OVER = """
    update runs set status = 'pending', next_wake = ?2, ready = 1, session = null, alone = 0, updated_at = ?2,
        unclean = iif(results > claim_results, 0, unclean + 1),
        alone_deaths = iif(results > claim_results, 0, alone_deaths + alone)
    where session = ?1
"""
ADRIFT = """
    update runs set status = 'pending', next_wake = ?1, ready = 1, alone = 0
    where status = 'running' and session is null and updated_at < ?2
"""
CLAIM = f"""
    update runs set status = 'running', epoch = epoch + 1, session = ?, next_wake = null, ready = 0,
        claim_results = results, reasons = '[]', updated_at = ?
    where rid = ? returning {RUN_COLUMNS}
"""
CLAIM_ONE = """
    select rid from runs where tenant = ?1 and id = ?2
        and (status in ('pending', 'waiting') or (status = 'running' and session = ?3))
"""
HAND_OVER = "update runs set session = ?3, alone = 1 where rid = ?1 and epoch = ?2 and session is not null"

# what operators look at: only what version 1 has, so that an old store can be looked at
INFO_RUNS = "select status, count(*) from runs group by status order by status"
INFO_TOTALS = """
    select coalesce(sum(head), 0), min(updated_at) filter (where status = 'waiting'),
        min(next_wake) filter (where status = 'pending')
    from runs
"""
INFO_BLOBS = "select count(*) from blobs"
INFO_SESSIONS = """
    select id, label, expires, (select count(*) from runs where session = s.id) from sessions s order by id
"""
MOVED = "select url from moved"


# Claims walk `runs_ready` lane by lane. `indexed by` makes a statement that could not use its index an error: with
# 100,000 runs that wait, any other plan would be a disaster that no small test shows.
PROMOTE = """
    update runs set ready = 1 where rid in (
        select rid from runs indexed by runs_timers
        where ready = 0 and next_wake is not null and next_wake <= ? order by next_wake limit ?)
"""
NEXT_TIMER = (
    "select min(next_wake) from runs indexed by runs_timers where ready = 0 and next_wake is not null"
)
RUNNING = (
    "select agent, tenant, count(*) from runs indexed by runs_running where status = 'running' group by 1, 2"
)
NEXT_TENANT = """
    select tenant from runs indexed by runs_ready
    where ready = 1 and agent = ? and version = ? and needs = ? and tenant > ? order by tenant limit 1
"""
NEXT_NEEDS = """
    select needs, tenant from runs indexed by runs_ready
    where ready = 1 and agent = ? and version = ? and needs > ? order by needs, tenant limit 1
"""
READY = """
    select rid from runs indexed by runs_ready
    where ready = 1 and agent = ? and version = ? and needs = ? and tenant = ?
    order by priority desc, next_wake, rid limit ?
"""
NEXT_DEMAND = """
    select agent, version, needs from runs indexed by runs_ready
    where ready = 1 and (agent, version, needs) > (?, ?, ?) order by agent, version, needs limit 1
"""
COUNT_DEMANDS = """
    select agent, version, needs, count(*), min(next_wake) from (
        select agent, version, needs, next_wake from runs indexed by runs_ready where ready = 1
        union all
        select agent, version, needs, next_wake from runs indexed by runs_timers
        where ready = 0 and next_wake is not null and next_wake <= ?)
    group by agent, version, needs order by agent, version, needs
"""
STRAND = """
    update runs set reasons = ?4 where rid in (
        select rid from runs indexed by runs_ready
        where ready = 1 and agent = ?1 and version = ?2 and needs = ?3 and json_extract(reasons, '$[0]') is not ?5
        order by tenant, priority desc, next_wake, rid limit ?6)
"""
SESSIONS = """
    select id, label, about, expires, (select count(*) from runs r where r.session = s.id)
    from sessions s where expires > ?
"""
