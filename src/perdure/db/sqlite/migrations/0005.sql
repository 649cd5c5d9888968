-- Version 5: the audit log, one Merkle tree over the heads of all runs.

create table audit_leaves (
    n      integer primary key,      -- its place in the tree, from 0
    rid    integer not null,
    tenant text not null,            -- with the run's id: what the leaf says must not hang on another row
    run    text not null,
    seq    integer not null,         -- the head that it names
    since  integer not null,         -- the head in this run's leaf before
    hash   blob not null
);
create unique index audit_leaves_run on audit_leaves (rid, seq);

create table audit_tiles (
    level  integer not null,
    n      integer not null,
    hashes blob not null,            -- up to 256 of 32 bytes
    primary key (level, n)
);

create table audit_checkpoints (
    size integer primary key,
    note text not null,              -- with its signatures
    at   integer not null,
    kept integer not null            -- it was sent away: of the others only the newest stays
);

-- How far the entries have been looked at, in the order of their arrival: what came behind has moved heads.
create table audit_cursor (
    n integer not null
);
insert into audit_cursor (n) values (0);
