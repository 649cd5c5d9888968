-- Version 3: cells, the small state that all workers share.

create table cells (
    tenant text not null,
    kind   text not null,
    name   text not null,
    data   blob not null,            -- JSON
    due    integer,                  -- when somebody is to look at it
    primary key (tenant, kind, name)
) without rowid;
create index cells_due on cells (kind, due) where due is not null;
