-- Version 4: for whom a run acts, and whose data it handles.

-- Runs that were there before have neither: what their journals say of it stands in payloads, which SQL does not read.
alter table runs add column principal text;      -- `user:ann`; null: nobody said
alter table runs add column subject text;        -- the data subject under whose key payloads are sealed; null: none
-- Each ends in the row's number: the newest first is how they are listed. A run that names nobody costs nothing here.
create index runs_principal on runs (tenant, principal) where principal is not null;
create index runs_subject on runs (tenant, subject) where subject is not null;
