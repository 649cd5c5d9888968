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
