-- Version 6: projections, which are made of journals and can be dropped and made again.

-- What is kept of each run. Beside the runs, not in them: their rows are written with every append.
create table perdure.run_figures (
    rid     bigint primary key,
    folded  bigint not null,                -- the entry up to which the journal was folded
    stale   boolean not null default false,  -- it was folded before the projections were dropped
    pruned  boolean not null default false,  -- its payloads were taken away: no text of it is kept
    goal    text,
    search  text,                            -- the goal, whatever its case
    money   bigint not null default 0,      -- nano-dollars
    figures text not null default '{}',      -- JSON, to be shown
    state   text not null default ''         -- JSON, to go on from
) with (fillfactor = 80);

create table perdure.tallies (
    grain         bigint not null,          -- 0: of all time, 1: of a day, 2: of an hour
    at            bigint not null,          -- when that began
    tenant        text collate "C" not null,
    agent         text collate "C" not null,
    version       text collate "C" not null,
    what          text collate "C" not null,
    name          text collate "C" not null,
    outcome       text collate "C" not null,
    label         text collate "C" not null,
    n             bigint not null,
    calls         bigint not null,
    errors        bigint not null,
    input_tokens  bigint not null,
    output_tokens bigint not null,
    model_calls   bigint not null,
    tool_calls    bigint not null,
    money         bigint not null,
    unpriced      bigint not null,
    estimated     bigint not null,
    micros        bigint not null,
    h0 bigint not null, h1 bigint not null, h2 bigint not null, h3 bigint not null, h4 bigint not null,
    h5 bigint not null, h6 bigint not null, h7 bigint not null, h8 bigint not null, h9 bigint not null,
    h10 bigint not null, h11 bigint not null, h12 bigint not null, h13 bigint not null, h14 bigint not null,
    h15 bigint not null, h16 bigint not null, h17 bigint not null, h18 bigint not null,
    primary key (grain, at, tenant, agent, version, what, name, outcome, label)
) with (fillfactor = 70);

-- How far the audit log's leaves were folded, in one row; none: not at all.
create table perdure.projected (
    one    bigint primary key check (one = 1),
    cursor bigint not null,
    until  bigint                           -- they are being made again, up to this leaf
);

-- Lists of runs, the newest first, whatever they are asked by. No append changes what they name: a run's row is still updated
-- in its page (HOT).
create index runs_newest on perdure.runs (tenant, rid);
create index runs_agent on perdure.runs (tenant, agent, rid);
