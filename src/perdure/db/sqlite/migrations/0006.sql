-- Version 6: projections, which are made of journals and can be dropped and made again.

-- What is kept of each run. Beside the runs, not in them: their rows are written with every append.
create table run_figures (
    rid     integer primary key,
    folded  integer not null,                -- the entry up to which the journal was folded
    stale   integer not null default 0,      -- it was folded before the projections were dropped
    pruned  integer not null default 0,      -- its payloads were taken away: no text of it is kept
    goal    text,
    search  text,                            -- the goal, whatever its case
    money   integer not null default 0,      -- nano-dollars
    figures text not null default '{}',      -- JSON, to be shown
    state   text not null default ''         -- JSON, to go on from
);

create table tallies (
    grain         integer not null,          -- 0: of all time, 1: of a day, 2: of an hour
    at            integer not null,          -- when that began
    tenant        text not null,
    agent         text not null,
    version       text not null,
    what          text not null,
    name          text not null,
    outcome       text not null,
    label         text not null,
    n             integer not null,
    calls         integer not null,
    errors        integer not null,
    input_tokens  integer not null,
    output_tokens integer not null,
    model_calls   integer not null,
    tool_calls    integer not null,
    money         integer not null,
    unpriced      integer not null,
    estimated     integer not null,
    micros        integer not null,
    h0 integer not null, h1 integer not null, h2 integer not null, h3 integer not null, h4 integer not null,
    h5 integer not null, h6 integer not null, h7 integer not null, h8 integer not null, h9 integer not null,
    h10 integer not null, h11 integer not null, h12 integer not null, h13 integer not null, h14 integer not null,
    h15 integer not null, h16 integer not null, h17 integer not null, h18 integer not null,
    primary key (grain, at, tenant, agent, version, what, name, outcome, label)
) without rowid;

-- How far the audit log's leaves were folded, in one row; none: not at all.
create table projected (
    one    integer primary key check (one = 1),
    cursor integer not null,
    until  integer                           -- they are being made again, up to this leaf
);

-- Lists of runs, the newest first, whatever they are asked by. Each ends in the row's number.
create index runs_newest on runs (tenant);
create index runs_agent on runs (tenant, agent);
