-- Version 4: for whom a run acts, and whose data it handles.

-- Runs that were there before have neither: what their journals say of it stands in payloads, which SQL does not read.
alter table perdure.runs add column principal text;      -- `user:ann`; null: nobody said
alter table perdure.runs add column subject text;        -- the data subject under whose key payloads are sealed; null: none
-- The newest first is how they are listed. A run that names nobody costs nothing here, and no append changes either: its
-- row is still updated in its page (HOT).
create index runs_principal on perdure.runs (tenant, principal, rid) where principal is not null;
create index runs_subject on perdure.runs (tenant, subject, rid) where subject is not null;
