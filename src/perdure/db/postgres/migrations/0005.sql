-- Version 5: the audit log, one Merkle tree over the heads of all runs.

create table perdure.audit_leaves (
    n      bigint primary key,           -- its place in the tree, from 0
    rid    bigint not null,
    tenant text not null,                -- with the run's id: what the leaf says must not hang on another row
    run    text not null,
    seq    bigint not null,              -- the head that it names
    since  bigint not null,              -- the head in this run's leaf before
    hash   bytea not null
);
create unique index audit_leaves_run on perdure.audit_leaves (rid, seq);

-- The last tile of a level is written again and again; hashes cannot be compressed.
create table perdure.audit_tiles (
    level  bigint not null,
    n      bigint not null,
    hashes bytea not null,               -- up to 256 of 32 bytes
    primary key (level, n)
);
alter table perdure.audit_tiles alter column hashes set storage external;

create table perdure.audit_checkpoints (
    size bigint primary key,
    note text not null,                  -- with its signatures
    at   bigint not null,
    kept boolean not null                -- it was sent away: of the others only the newest stays
);

-- Whose head moved: a row for each transaction that moved any, taken away by whoever integrates them. Rows are only added
-- and deleted, so that nobody waits here. (An index on the runs would cost each append a place in it; a row for each run
-- would have to be updated, and its update be waited for.)
create table perdure.audit_moved (
    rids bigint[] not null,
    at   bigint not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
insert into perdure.audit_moved (rids, at) select array_agg(rid), max(updated_at) from perdure.runs group by rid / 500;
