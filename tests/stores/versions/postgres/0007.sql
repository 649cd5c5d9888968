-- A store of version 7, with rows of real runs; its tables are those of `migrations/0001.sql` to `0007.sql`.
create schema perdure;
create table perdure.schema (version integer not null);
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

-- Version 3: cells, the small state that all workers share.

-- Some are amended with every step. A change that leaves `due` as it is touches no index, and the half of each page that is
-- left free has room for the new row: it is updated in its page (HOT). Names are compared byte by byte, as everywhere else:
-- all lock in the same order, and pages follow each other as they do in the other stores.
create table perdure.cells (
    tenant text collate "C" not null,
    kind   text collate "C" not null,
    name   text collate "C" not null,
    data   bytea not null,               -- JSON
    due    bigint,                       -- when somebody is to look at it
    primary key (tenant, kind, name)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
create index cells_due on perdure.cells (kind, due) where due is not null;

-- Version 4: for whom a run acts, and whose data it handles.

-- Runs that were there before have neither: what their journals say of it stands in payloads, which SQL does not read.
alter table perdure.runs add column principal text;      -- `user:ann`; null: nobody said
alter table perdure.runs add column subject text;        -- the data subject under whose key payloads are sealed; null: none
-- The newest first is how they are listed. A run that names nobody costs nothing here, and no append changes either: its
-- row is still updated in its page (HOT).
create index runs_principal on perdure.runs (tenant, principal, rid) where principal is not null;
create index runs_subject on perdure.runs (tenant, subject, rid) where subject is not null;

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

-- Version 7: working memory. What is about a data subject is not here: it is sealed, in cells.

create table perdure.working_spaces (
    id      bigint generated by default as identity primary key,
    tenant  text collate "C" not null,
    key     text collate "C" not null,       -- agent and name, as one text
    items   bigint not null default 0,       -- passages that were ever added
    began   bigint not null,
    changed bigint not null,
    unique (tenant, key)
);

create table perdure.working_items (
    n      bigint generated by default as identity primary key,
    number bigint not null,                  -- of the text, the same for all its passages
    space  bigint not null,
    id     text collate "C" not null,        -- of the text, made of the key of the write that added it
    part   bigint not null,
    kind   text not null,
    source text not null,
    text   text not null,
    run    text not null,
    step   text not null,
    labels text not null,                    -- JSON
    at     bigint not null,
    due    bigint                           -- when it is over
);
create unique index working_items_text on perdure.working_items (space, id, part);
create index working_items_newest on perdure.working_items (space, number desc, part);
create index working_items_due on perdure.working_items (due) where due is not null;

-- The words of the items, each with its space's number before it: searches of one space read nothing of another. Whoever
-- searches waits for no list of what is still to be sorted in.
create table perdure.working_words (
    n     bigint primary key,                -- the item's
    long  bigint not null,                   -- so many words
    words tsvector not null
);
create index working_words_words on perdure.working_words using gin (words) with (fastupdate = off);

-- What items mean: vectors, comparable with those of the same model alone.
create table perdure.working_models (
    id   bigint generated by default as identity primary key,
    name text collate "C" not null unique
);
create table perdure.working_vectors (
    n      bigint primary key,               -- the item's
    space  bigint not null,
    model  bigint not null,
    vector bytea not null                    -- numbers of 4 bytes; its length is 1
);
create index working_vectors_space on perdure.working_vectors (space, model, n);
alter table perdure.working_vectors alter column vector set storage external;

-- Texts that were forgotten: a write that was asked for before does not bring them back.
create table perdure.working_forgotten (
    space bigint not null,
    id    text collate "C" not null,
    by    text collate "C" not null,         -- made of the key of the write that forgot it
    until bigint not null,
    primary key (space, id)
);
create index working_forgotten_until on perdure.working_forgotten (until);

insert into perdure.schema values (7);
insert into perdure.tenants (tenant, key) values ('default', '\x4d3f6463088efc0f397f87d622ec28fd588e4735eaa25ee31da7c2d74fe0209e');
insert into perdure.runs (rid, tenant, id, agent, version, status, reasons, labels, parent, created_at, updated_at, deadline, next_wake, head, head_hash, epoch, session, results, claim_results, unclean, alone, alone_deaths, inbox_seq, drained_seq, progress, priority, needs, ready, base, base_hash, generation, ended_at, pruned_at) overriding system value values ('1', 'default', 'v1-waiting', 'greeter', '1', 'waiting', E'{"\\"approval\\""}', '{}', null, '1795641064967407', '1795641065012972', null, null, '7', '\xb21b0f18c1411e79c3f70ccc1eb49c7893392ac203710ab358bc96cd86979802', '1', null, '2', '0', '0', '0', '0', '0', '0', null, '0', '', 'false', '1', null, '1', null, null);
insert into perdure.runs (rid, tenant, id, agent, version, status, reasons, labels, parent, created_at, updated_at, deadline, next_wake, head, head_hash, epoch, session, results, claim_results, unclean, alone, alone_deaths, inbox_seq, drained_seq, progress, priority, needs, ready, base, base_hash, generation, ended_at, pruned_at) overriding system value values ('2', 'default', 'v1-done', 'greeter', '1', 'succeeded', '{}', '{}', null, '1795641064974196', '1795641065045491', null, null, '11', '\xf9f3b21497e7720dfaccaeb36203284ae8d13627414b98a341340fba4ebf27ca', '2', null, '3', '2', '0', '0', '0', '1', '1', null, '0', '', 'false', '1', null, '1', '1795641065045494', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values ('1', '1', '1', '1', '', '1795641064962143', '0', 'start', '0', '1', '\x4a667ce49d73fc607b17400c8f3aa318', '\x8a7adb9e24f18b8499f7a6ad9488ff17', '\x7b226167656e74223a2267726565746572222c2276657273696f6e223a2231222c226c6162656c73223a7b7d2c22706172656e74223a6e756c6c2c22646561646c696e65223a6e756c6c2c22696e707574223a22416461227d', '\x6960b063a7f67b3a846937eb2f92a8cb16fc767e0620b9b349e0acfd77528732', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values ('2', '1', '1', '1', '', '1795641064969768', '0', 'start', '0', '1', '\x3190b9b760530cd24adc4947a97b5ccf', '\xe6c81042e2ff34b4a5362577a7624a00', '\x7b226167656e74223a2267726565746572222c2276657273696f6e223a2231222c226c6162656c73223a7b7d2c22706172656e74223a6e756c6c2c22646561646c696e65223a6e756c6c2c22696e707574223a22426f62227d', '\x244ab52bd77b116a973b755b48ce657a3a508eb55f2370a4d2f5c0215e670686', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values ('1', '2', '1', '2', '', '1795641064998742', '0', 'w-810c265ac761', '1', '1', '\x', '\x56adef1d97d7183f257c94049b4f3a37', '\x7b22776f726b6572223a22766d3a3130323633222c2276657273696f6e223a2231222c22756e636c65616e223a302c226265686176696f7572223a7b22646967657374223a2234383437623737643036643334383032222c227061727473223a7b22636f6465223a2232333766353439353537633639393231222c22746f6f6c73223a2235643337373265616437333837383334222c226d6f64656c73223a2234663533636461313863326261613063222c2270657264757265223a22302e312e30227d7d7d', '\x593ec5f2ede3a6f300fcec9b4aa29a5329eb121294b0f7f456ccc1753400e1e7', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values ('2', '2', '1', '2', '', '1795641064999410', '0', 'w-810c265ac761', '1', '1', '\x', '\xda45fc8d22dd4889e9e9fb824b6f253d', '\x7b22776f726b6572223a22766d3a3130323633222c2276657273696f6e223a2231222c22756e636c65616e223a302c226265686176696f7572223a7b22646967657374223a2234383437623737643036643334383032222c227061727473223a7b22636f6465223a2232333766353439353537633639393231222c22746f6f6c73223a2235643337373265616437333837383334222c226d6f64656c73223a2234663533636461313863326261613063222c2270657264757265223a22302e312e30227d7d7d', '\x543d546f512ac11660fbf9d07cd48dde33629acfae5852c1cca97cf412fc102c', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values ('1', '3', '1', '3', 'greet', '1795641065003205', '3622', 'w-810c265ac761', '1', '1', '\x0a20d502c514f09e301d646782b705ac', '\xa83c1b2cbda43eb76dcd12f47d03a39a', '\x2268656c6c6f2041646122', '\xf9af4d5f087b5c12686331eb6b75c23a7e4f22a10698173cb0d2b5917b639c73', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values ('1', '4', '1', '5', 'pay', '1795641065003320', '0', 'w-810c265ac761', '1', '1', '\x3d1a2745fa61e5ffe8fa107f7a89ccab', '\xcf1a15189f89f6f4e79630798b193433', '\x7b22746f6f6c223a22706179222c226b6579223a2276312d77616974696e672f706179222c22617474656d7074223a312c22617267756d656e7473223a7b22616d6f756e74223a337d7d', '\x0f60f42dc271a32baa7aaa6a523d356558e081afbc8d56d34e807248a08a1c47', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values ('2', '3', '1', '3', 'greet', '1795641065003382', '2510', 'w-810c265ac761', '1', '1', '\x0a20d502c514f09e301d646782b705ac', '\x351a5fef0e4bb20f8bcb2484e437490f', '\x2268656c6c6f20426f6222', '\x602d56eb1e9919ca4f80eca48a94b474b44e8d50410c7084eef5844f80f3df64', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values ('2', '4', '1', '5', 'pay', '1795641065003417', '0', 'w-810c265ac761', '1', '1', '\x3d1a2745fa61e5ffe8fa107f7a89ccab', '\xfd03380d36415238af7ef19ee54b4429', '\x7b22746f6f6c223a22706179222c226b6579223a2276312d646f6e652f706179222c22617474656d7074223a312c22617267756d656e7473223a7b22616d6f756e74223a337d7d', '\xb3b9acd3f0270f2f96017368b9041fed7ad4bbe0520a2004162c0ef22c07a8fb', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values ('1', '5', '1', '3', 'pay', '1795641065005078', '36', 'w-810c265ac761', '1', '1', '\x3d1a2745fa61e5ffe8fa107f7a89ccab', '\x8ef42d766e9633ae040ba9b6419ebfdb', '\x2270616964203322', '\xedb7a67c84078b8f8607cf4bae9798346d3d773c862062205e0313cf3d0f3231', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values ('2', '5', '1', '3', 'pay', '1795641065007263', '26', 'w-810c265ac761', '1', '1', '\x3d1a2745fa61e5ffe8fa107f7a89ccab', '\xff5862b29dd57d8e022ee6fcef3a27f9', '\x2270616964203322', '\x67ba76206ac2ded62177a2ce7f0b0c75b40e1f6000e934eea12e0eeea949c419', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values ('1', '6', '1', '8', 'ask', '1795641065008735', '0', 'w-810c265ac761', '1', '1', '\x10386847e02f9807e9155dc3bc8d815d', '\x28a9d3a3107e583e546efbd574b46fb5', '\x7b226f6e223a22617070726f76616c222c226e616d65223a2261736b222c22647565223a6e756c6c2c227175657374696f6e223a2253656e642069743f222c2273686f77223a2268656c6c6f20416461222c2263686f69636573223a6e756c6c2c22646967657374223a2231303236666233323039666339636135306130646630303533626566626338346330333861376261323939303535366565613463363266383462383538353631227d', '\xb2637a9141195a5896bf10d777578d374cfc01e1c6d01c9e90336a56ce07c1d6', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values ('1', '7', '1', '14', '', '1795641065008831', '0', 'w-810c265ac761', '1', '1', '\x', '\x1e95cb1a0d45fff016967d1288591ebe', '\x7b22726561736f6e73223a5b22617070726f76616c225d2c22756e74696c223a6e756c6c7d', '\xb21b0f18c1411e79c3f70ccc1eb49c7893392ac203710ab358bc96cd86979802', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values ('2', '6', '1', '8', 'ask', '1795641065010174', '0', 'w-810c265ac761', '1', '1', '\x10386847e02f9807e9155dc3bc8d815d', '\x6c8acd5aaee5fae8b067f38655cd7a05', '\x7b226f6e223a22617070726f76616c222c226e616d65223a2261736b222c22647565223a6e756c6c2c227175657374696f6e223a2253656e642069743f222c2273686f77223a2268656c6c6f20426f62222c2263686f69636573223a6e756c6c2c22646967657374223a2263316361343239323535653136356631623338393330623465366365656561366234353033656366306464306236646465353965663135663461646165646539227d', '\x5f10580bb66d11989dd6483f6a69b17a5112a6077dd17c410189f0f87a93f1c3', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values ('2', '7', '1', '14', '', '1795641065010284', '0', 'w-810c265ac761', '1', '1', '\x', '\xba469b4d5b3fed66a3c793daf84f742c', '\x7b22726561736f6e73223a5b22617070726f76616c225d2c22756e74696c223a6e756c6c7d', '\x936998c9514c007a3c64978a8fba4353674816a85c5adb65502867316b182428', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values ('2', '8', '1', '2', '', '1795641065040121', '0', 'w-810c265ac761', '2', '1', '\x', '\xd111eb5f07df22d2d0b78e368647110c', '\x7b22776f726b6572223a22766d3a3130323633222c2276657273696f6e223a2231222c22756e636c65616e223a302c226265686176696f7572223a7b22646967657374223a2234383437623737643036643334383032227d7d', '\x5d1651968b584a4a5079fcc14934308a3dd25a0871c412dde2cd83b4fc8106ce', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values ('2', '9', '1', '9', '', '1795641065042341', '0', 'w-810c265ac761', '2', '1', '\x', '\x99b1a10edea233914b8a08a1ff4d98a9', '\x7b226b696e64223a22616e73776572222c226e616d65223a2261736b222c226964223a22616e737765722d61736b222c2273656e646572223a22657665222c226174223a313739353634313036353033333937312c22626f6479223a7b22617070726f766564223a747275652c22726561736f6e223a6e756c6c2c2276616c7565223a6e756c6c7d7d', '\x0fd7323cdc273555c44db1f8dcfa83a1319905e2337e470252eea7d9ee3e4907', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values ('2', '10', '1', '3', 'ask', '1795641065042649', '0', 'w-810c265ac761', '2', '1', '\x10386847e02f9807e9155dc3bc8d815d', '\x3b1f6ef61da0cd5df6f1d7edf9523fd3', '\x7b2266726f6d223a397d', '\x91e3126fea0adf6032a10ef1a9e38df80c688d80b408f271d6a80d89cfe27178', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values ('2', '11', '1', '16', '', '1795641065044825', '0', 'w-810c265ac761', '2', '1', '\x', '\x363288c66f97f3acf81d12c9b9af4f67', '\x7b22737461747573223a22737563636565646564222c22756e64656c697665726564223a5b5d2c22726573756c74223a2268656c6c6f20426f622054727565227d', '\xf9f3b21497e7720dfaccaeb36203284ae8d13627414b98a341340fba4ebf27ca', null);
insert into perdure.inbox (rid, n, kind, name, id, sender, at, body) values ('2', '1', 'answer', 'ask', 'answer-ask', 'eve', '1795641065033971', '\x7b22617070726f766564223a747275652c22726561736f6e223a6e756c6c2c2276616c7565223a6e756c6c7d');
insert into perdure.approvals (rid, step, question, opened_at, due, show) values ('1', 'ask', 'Send it?', '1795641065008661', null, '\x7b2273686f77223a2268656c6c6f20416461222c2263686f69636573223a6e756c6c7d');
insert into perdure.cells (tenant, kind, name, data, due) values ('default', 'budget', 'desk', '\x7b227370656e74223a337d', null);
select setval(pg_get_serial_sequence('perdure.runs', 'rid'), (select max(rid) from perdure.runs));
insert into perdure.audit_moved (rids, at) select array_agg(rid), max(updated_at) from perdure.runs group by rid / 500;
