-- Version 8: what agents know. Of facts and names no row is overwritten but in what it says it was ended by, or merged into.

create table knowledge_realms (
    realm   integer primary key,
    tenant  text not null,
    subject text not null,                   -- the data subject; empty: of nobody in particular
    agent   text not null,                   -- the only agent that knows it; empty: all
    unique (tenant, subject, agent)
);

create table knowledge_writes (
    id     integer primary key,
    realm  integer not null,
    key    text not null,                    -- a hash of that under which it is done once
    kind   text not null,
    did    text not null,                    -- JSON of ids and numbers
    at     integer not null,
    run    text not null,
    step   text not null,
    labels text not null,                    -- JSON
    undone integer not null default 0
);
create unique index knowledge_writes_key on knowledge_writes (realm, key);
create index knowledge_writes_realm on knowledge_writes (realm);

create table knowledge_entities (
    id      integer primary key,
    realm   integer not null,
    kind    text not null,
    name    text not null,
    became  integer not null default 0,      -- what it was merged into
    writing integer not null
);
create index knowledge_entities_kind on knowledge_entities (realm, kind);
create index knowledge_entities_realm on knowledge_entities (realm);
create index knowledge_entities_became on knowledge_entities (became) where became <> 0;

create table knowledge_names (
    n       integer primary key,
    realm   integer not null,
    entity  integer not null,
    kind    text not null,
    same    text not null,                   -- what it has in common with names that are the same; of a person a mark of it
    name    text not null,
    writing integer not null
);
create index knowledge_names_same on knowledge_names (realm, kind, same);
create index knowledge_names_entity on knowledge_names (entity);

create table knowledge_blocks (
    realm  integer not null,
    kind   text not null,
    block  text not null,
    entity integer not null,
    primary key (realm, kind, block, entity)
) without rowid;

create table knowledge_facts (
    version      integer primary key,
    fact         integer not null,
    realm        integer not null,
    subject      integer not null,
    relation     text not null,
    object       integer not null,           -- 0: it says a value
    value        text not null,              -- JSON
    digest       text not null,              -- of the value; of a person a mark of it
    said_subject integer not null,
    said_object  integer not null,
    valid_from   integer not null,
    valid_to     integer not null,
    said_to      integer not null,
    confidence   real,
    at           integer not null,
    until        integer not null,
    writing      integer not null,
    made         integer not null,
    ended        integer not null
);
create index knowledge_facts_subject on knowledge_facts (subject);
create index knowledge_facts_object on knowledge_facts (object) where object <> 0;
create index knowledge_facts_says on knowledge_facts (subject, relation, object, digest);
create index knowledge_facts_versions on knowledge_facts (fact) where fact <> version;
