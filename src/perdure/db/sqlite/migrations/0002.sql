-- Version 2: fleets, versions, history, schedules.

-- claims: fair between tenants, by priority within one, only by workers with the labels that a run needs
alter table runs add column priority integer not null default 0;
alter table runs add column needs text not null default '';      -- labels that its worker must have, sorted, by spaces
alter table runs add column ready integer not null default 0;    -- due and waiting for a worker: what claims look at
drop index runs_due;
create index runs_ready on runs (agent, version, needs, tenant, priority desc, next_wake, rid) where ready = 1;
create index runs_timers on runs (next_wake) where ready = 0 and next_wake is not null;
create index runs_running on runs (agent, tenant) where status = 'running';

-- history: where replay begins, and what was taken away
alter table runs add column base integer not null default 1;     -- the entry at which the fold begins
alter table runs add column base_hash blob;                      -- the hash before it; null: the genesis
alter table runs add column generation integer not null default 1;
alter table runs add column ended_at integer;
alter table runs add column pruned_at integer;
update runs set ended_at = updated_at             -- the ending was the last change
where status in ('succeeded', 'partial', 'escalated', 'failed', 'cancelled', 'quarantined');
create index runs_ended on runs (agent, status, ended_at) where ended_at is not null and pruned_at is null;
alter table blobs add column at integer not null default 0;      -- when it was last asked for by a writer
create index entries_blob on entries (blob) where blob is not null;

-- workers: what they serve, as JSON
alter table sessions add column about text not null default '{}';

create table schedules (
    tenant   text not null,
    name     text not null,
    agent    text not null,
    spec     text not null,          -- JSON: cron, timezone, policies, input
    state    text not null,          -- JSON: counters, what waits for the previous run to end
    next     integer,                -- the nominal time of the next firing; null: never again
    last     integer,
    last_run text,
    paused   integer not null default 0,
    revision integer not null,       -- compare and set
    primary key (tenant, name)
) without rowid;

-- what the code of each worker declares; a row counts as long as its session lives
create table declarations (
    tenant  text not null,
    name    text not null,
    session text not null,
    digest  text not null,
    primary key (tenant, name, session)
) without rowid;

-- One row, once the store has moved to another database: nobody goes on here.
create table moved (
    url text not null,
    at  integer not null
);
