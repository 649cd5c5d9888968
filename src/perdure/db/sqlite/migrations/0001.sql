-- Version 1. Times are microseconds since the Unix epoch.

create table tenants (
    tenant text primary key,
    key    blob not null                 -- of fingerprints and blob addresses
) without rowid;

create table runs (
    rid           integer primary key,   -- never reused while entries exist; never leaves the process
    tenant        text not null,
    id            text not null,
    agent         text not null,
    version       text not null,
    status        text not null,
    reasons       text not null default '[]',
    labels        text not null default '{}',
    parent        text,
    created_at    integer not null,
    updated_at    integer not null,
    deadline      integer,
    next_wake     integer,               -- null: not due at any time (running, ended, or waits for a message)
    head          integer not null,
    head_hash     blob not null,
    epoch         integer not null default 0,
    session       text,
    results       integer not null default 0,
    claim_results integer not null default 0,
    unclean       integer not null default 0,
    alone         integer not null default 0,
    alone_deaths  integer not null default 0,
    inbox_seq     integer not null default 0,
    drained_seq   integer not null default 0,
    progress      text,
    unique (tenant, id)
);
create index runs_due on runs (agent, version, next_wake) where next_wake is not null;
create index runs_claimed on runs (session) where session is not null;
create index runs_adrift on runs (updated_at) where status = 'running' and session is null;
create index runs_status on runs (tenant, status, rid);
create index runs_parent on runs (tenant, parent) where parent is not null;

-- In the order of arrival, not of runs: rows of one transaction share pages. Clustered by run, each row of a batch
-- writes a page of its own (measured: 3 to 5 times slower at 64 and 512 runs).
create table entries (
    n           integer primary key,
    rid         integer not null,
    seq         integer not null,
    format      integer not null,
    kind        integer not null,
    key         text not null,
    at          integer not null,
    took        integer not null,
    actor       text not null,
    epoch       integer not null,
    codec       integer not null,
    fingerprint blob not null,
    salt        blob not null,
    payload     blob,                    -- null: in blobs
    hash        blob not null,
    blob        blob                     -- address
);
create unique index entries_run on entries (rid, seq);

create table blobs (
    tenant  text not null,
    address blob not null,               -- HMAC-SHA-256 of the bytes under the tenant's key
    data    blob not null,
    primary key (tenant, address)
);

create table inbox (
    rid    integer not null,
    n      integer not null,
    kind   text not null,
    name   text not null,
    id     text not null,
    sender text not null,
    at     integer not null,
    body   blob not null,
    primary key (rid, n),
    unique (rid, id)
) without rowid;

create table approvals (
    rid       integer not null,
    step      text not null,
    question  text not null,
    opened_at integer not null,
    due       integer,
    show      blob not null,
    primary key (rid, step)
) without rowid;

create table sessions (
    id      text primary key,
    label   text not null,
    lease   integer not null,
    expires integer not null
) without rowid;
