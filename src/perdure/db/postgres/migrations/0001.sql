-- Version 1. Times are microseconds since the Unix epoch, by the database's own clock.
-- In a schema of its own, and every statement names it: behind a transaction pooler there is no `search_path`.

create table perdure.tenants (
    tenant text primary key,
    key    bytea not null                -- of fingerprints and blob addresses
);

-- An append changes no indexed column of its run, so that the row is updated in its page (HOT); a fuller page has no
-- room for that. No index may name head, results or updated_at.
create table perdure.runs (
    rid           bigint generated always as identity primary key,
    tenant        text not null,
    id            text not null,
    agent         text not null,
    version       text not null,
    status        text not null,
    reasons       text[] not null default '{}',  -- each as JSON: text cannot hold what a reason may (U+0000)
    labels        text[] not null default '{}',  -- each as JSON: ["key", "value"]
    parent        text,
    created_at    bigint not null,
    updated_at    bigint not null,
    deadline      bigint,
    next_wake     bigint,                -- null: not due at any time (running, ended, or waits for a message)
    head          bigint not null,
    head_hash     bytea not null,
    epoch         bigint not null default 0,
    session       text,
    results       bigint not null default 0,
    claim_results bigint not null default 0,
    unclean       integer not null default 0,
    alone         integer not null default 0,
    alone_deaths  integer not null default 0,
    inbox_seq     bigint not null default 0,
    drained_seq   bigint not null default 0,
    progress      text,
    unique (tenant, id)
) with (fillfactor = 70);
create index runs_due on perdure.runs (agent, version, next_wake, rid) where next_wake is not null;
create index runs_claimed on perdure.runs (session) where session is not null;
create index runs_adrift on perdure.runs (rid) where status = 'running' and session is null;
create index runs_status on perdure.runs (tenant, status, rid);
create index runs_parent on perdure.runs (tenant, parent) where parent is not null;

create table perdure.entries (
    rid         bigint not null,
    seq         bigint not null,
    format      smallint not null,
    kind        smallint not null,
    key         text not null,
    at          bigint not null,
    took        bigint not null,
    actor       text not null,
    epoch       bigint not null,
    codec       smallint not null,
    fingerprint bytea not null,
    salt        bytea not null,
    payload     bytea,                   -- null: in blobs
    hash        bytea not null,
    blob        bytea,                   -- address
    primary key (rid, seq)
);

create table perdure.blobs (
    tenant  text not null,
    address bytea not null,              -- HMAC-SHA-256 of the bytes under the tenant's key
    data    bytea not null,
    primary key (tenant, address)
);

create table perdure.inbox (
    rid    bigint not null,
    n      bigint not null,
    kind   text not null,
    name   text not null,
    id     text not null,
    sender text not null,
    at     bigint not null,
    body   bytea not null,
    primary key (rid, n),
    unique (rid, id)
);

create table perdure.approvals (
    rid       bigint not null,
    step      text not null,
    question  text not null,
    opened_at bigint not null,
    due       bigint,
    show      bytea not null,
    primary key (rid, step)
);

create table perdure.sessions (
    id      text primary key,
    label   text not null,
    lease   bigint not null,
    expires bigint not null
);

-- One row a writer, written in each of its transactions: whether a commit whose answer was lost happened, and
-- whether there is news for those who cannot listen.
create table perdure.batches (
    writer text primary key,
    number bigint not null,
    news   bigint not null,
    at     bigint not null
) with (fillfactor = 50);
