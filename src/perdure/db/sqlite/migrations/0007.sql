-- Version 7: working memory. What is about a data subject is not here: it is sealed, in cells.

create table working_spaces (
    id      integer primary key,
    tenant  text not null,
    key     text not null,                   -- agent and name, as one text
    items   integer not null default 0,      -- passages that were ever added
    began   integer not null,
    changed integer not null,
    unique (tenant, key)
);

create table working_items (
    n      integer primary key,
    number integer not null,                 -- of the text, the same for all its passages
    space  integer not null,
    id     text not null,                    -- of the text, made of the key of the write that added it
    part   integer not null,
    kind   text not null,
    source text not null,
    text   text not null,
    run    text not null,
    step   text not null,
    labels text not null,                    -- JSON
    at     integer not null,
    due    integer                          -- when it is over
);
create unique index working_items_text on working_items (space, id, part);
create index working_items_newest on working_items (space, number desc, part);
create index working_items_due on working_items (due) where due is not null;

-- What items mean: vectors, comparable with those of the same model and of as many numbers alone: `MODEL/NUMBERS`.
create table working_models (
    id   integer primary key,
    name text not null unique
);
create table working_vectors (
    n      integer primary key,              -- the item's
    space  integer not null,
    model  integer not null,
    vector blob not null                     -- numbers of 4 bytes; its length is 1
);

-- The signs of their numbers, a bit each: read at one go, they tell which vectors are worth reading.
create table working_signs (
    space integer not null,
    model integer not null,
    n     integer not null,
    signs blob not null,
    primary key (space, model, n)
) without rowid;

-- Texts that were forgotten: a write that was asked for before does not bring them back.
create table working_forgotten (
    space integer not null,
    id    text not null,
    by    text not null,                     -- made of the key of the write that forgot it
    until integer not null,
    primary key (space, id)
) without rowid;
create index working_forgotten_until on working_forgotten (until);

-- The words of the items, each with its space's number before it: searches of one space read nothing of another.
create virtual table working_words using fts5 (
    words, content = '', contentless_delete = 1, tokenize = 'ascii'
);
create virtual table working_vocabulary using fts5vocab (working_words, row);

-- How many rows those are: it stands in the formula of their ranks.
create table working_count (items integer not null);
insert into working_count (items) values (0);
create trigger working_items_more after insert on working_items begin update working_count set items = items + 1; end;
create trigger working_items_less after delete on working_items begin update working_count set items = items - 1; end;
