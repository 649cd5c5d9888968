-- Version 2: fleets, versions, history, schedules.

-- claims: fair between tenants, by priority within one, only by workers with the labels that a run needs
alter table perdure.runs add column priority smallint not null default 0;
alter table perdure.runs add column needs text not null default '';      -- labels that its worker must have, sorted, by spaces
alter table perdure.runs add column ready boolean not null default false; -- due and waiting for a worker: what claims look at
drop index perdure.runs_due;
create index runs_ready on perdure.runs (agent, version, needs, tenant, priority desc, next_wake, rid) where ready;
create index runs_timers on perdure.runs (next_wake) where not ready and next_wake is not null;
create index runs_running on perdure.runs (agent, tenant) where status = 'running';

-- history: where replay begins, and what was taken away
alter table perdure.runs add column base bigint not null default 1;      -- the entry at which the fold begins
alter table perdure.runs add column base_hash bytea;                     -- the hash before it; null: the genesis
alter table perdure.runs add column generation bigint not null default 1;
alter table perdure.runs add column ended_at bigint;
alter table perdure.runs add column pruned_at bigint;
update perdure.runs set ended_at = updated_at             -- the ending was the last change
where status in ('succeeded', 'partial', 'escalated', 'failed', 'cancelled', 'quarantined');
create index runs_ended on perdure.runs (agent, status, ended_at) where ended_at is not null and pruned_at is null;
alter table perdure.blobs add column at bigint not null default 0;       -- when it was last asked for by a writer
create index entries_blob on perdure.entries (blob) where blob is not null;

-- entries of up to 4 KB stay in their row, as they are: by default the server tries to compress each of more than 2 KB,
-- and puts what stays large into a table beside it (measured: a fifth of its CPU a step, with answers of 1 and 2 KB)
alter table perdure.entries set (toast_tuple_target = 4080);

-- workers: what they serve, as JSON
alter table perdure.sessions add column about text not null default '{}';

create table perdure.schedules (
    tenant   text not null,
    name     text not null,
    agent    text not null,
    spec     text not null,          -- JSON: cron, timezone, policies, input
    state    text not null,          -- JSON: counters, what waits for the previous run to end
    next     bigint,                 -- the nominal time of the next firing; null: never again
    last     bigint,
    last_run text,
    paused   boolean not null default false,
    revision bigint not null,        -- compare and set
    primary key (tenant, name)
);

-- what the code of each worker declares; a row counts as long as its session lives
create table perdure.declarations (
    tenant  text not null,
    name    text not null,
    session text not null,
    digest  text not null,
    primary key (tenant, name, session)
);
