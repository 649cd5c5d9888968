"""The SQL of working memory in PostgreSQL, by name."""

from __future__ import annotations

from ...memory.working import MOST_RANKED
from ...memory.working.ranking import K1, B

ONE_WORD = 0.0607927
"""What `ts_rank` says of a text that has the one word of a question once."""
COLUMNS = "i.n, i.number, i.id, i.part, i.kind, i.source, i.text, i.at, i.run, i.step, i.labels"
SPACE = "select id, items from perdure.working_spaces where tenant = %(tenant)s and key = %(key)s"
ADD_SPACE = """
    insert into perdure.working_spaces (tenant, key, began, changed) values (%(tenant)s, %(key)s, %(now)s, %(now)s)
    on conflict (tenant, key) do nothing
"""
# Nobody waits for it: where another counts just now, these are not counted. It is a hint of how rare a word is.
COUNT = """
    update perdure.working_spaces set items = items + %(parts)s, changed = greatest(changed, %(now)s)
    where id = (select id from perdure.working_spaces where id = %(space)s for update skip locked)
"""
SPACES = """
    select key, items, began, changed from perdure.working_spaces
    where tenant = %(tenant)s and key > %(after)s order by key limit %(limit)s
"""
# Two that are added at once may have one number: they are listed together.
ADD = """
    with text as (
        select coalesce(max(number), 0) + 1 as number from perdure.working_items where space = %(space)s
    )
    insert into perdure.working_items (number, space, id, part, kind, source, text, run, step, labels, at, due)
    select t.number, %(space)s, %(id)s, p.part - 1, %(kind)s, %(source)s, p.text, %(run)s, %(step)s, %(labels)s,
        %(now)s, %(due)s
    from text t, unnest(%(texts)s::text[]) with ordinality as p (text, part)
    where not exists (select from perdure.working_forgotten where space = %(space)s and id = %(id)s)
    order by p.part
    on conflict (space, id, part) do nothing returning part, n
"""
ADD_WORDS = """
    insert into perdure.working_words (n, long, words)
    select n, long, words::tsvector from unnest(%(n)s::bigint[], %(long)s::bigint[], %(words)s::text[])
        as w (n, long, words)
"""
ADD_MODEL = "insert into perdure.working_models (name) values (%(name)s) on conflict do nothing"
MODEL = "select id from perdure.working_models where name = %(name)s"
ADD_VECTORS = """
    insert into perdure.working_vectors (n, space, model, vector)
    select n, %(space)s, %(model)s, vector from unnest(%(n)s::bigint[], %(vector)s::bytea[]) as v (n, vector)
"""
SWEEP = """
    with forgotten as (
        delete from perdure.working_forgotten where (space, id) in (
            select space, id from perdure.working_forgotten where until <= %(now)s limit 100 for update skip locked)
    )
    delete from perdure.working_items where n in (
        select n from perdure.working_items where due is not null and due <= %(now)s order by due limit 100
        for update skip locked)
"""
DROP = "delete from perdure.working_items where space = %(space)s and id = %(id)s"
FORGOTTEN = """
    insert into perdure.working_forgotten (space, id, by, until) values (%(space)s, %(id)s, %(by)s, %(until)s)
    on conflict (space, id) do nothing
"""
FORGOTTEN_BY = "select by from perdure.working_forgotten where space = %(space)s and id = %(id)s"
ALIVE = "(i.due is null or i.due > %(now)s)"
GET = f"""
    select {COLUMNS} from perdure.working_items i where i.space = %(space)s and i.id = %(id)s and {ALIVE}
    order by i.part
"""
NEWEST = f"""
    select {COLUMNS} from perdure.working_items i
    where i.space = %(space)s and {ALIVE} and i.number in (
        select distinct number from perdure.working_items i
        where i.space = %(space)s and i.number < %(before)s and {ALIVE} order by number desc limit %(limit)s)
    order by i.number desc, i.id, i.part
"""
HAVING = """
    select w.word, (select count(*) from (
        select from perdure.working_words where words @@ quote_literal(w.word)::tsquery limit %(common)s) h)
    from unnest(%(words)s::text[]) as w (word)
"""
MATCHES = f"""
    {ALIVE} and (%(kinds)s::text[] is null or i.kind = any(%(kinds)s))
    and (%(sources)s::text[] is null or i.source = any(%(sources)s))
    and (%(without)s::text[] is null or not jsonb_exists_any(i.labels::jsonb, %(without)s))
"""
# Lateral, so that items are looked up one by one: for so few the planner might read all there are.
BY_WORDS = f"""
    select r.n, r.rank from (
        select h.n, ({{ranks}}) * {K1 + 1} / (1 + {K1} * ({1 - B} + {B} * h.long / avg(h.long) over ())) as rank
        from (
            select n, long, words from perdure.working_words where words @@ %(any)s::text::tsquery
            order by n desc limit {{read}}
        ) h order by rank desc, n desc limit {{best}}
    ) r cross join lateral (select from perdure.working_items i where i.n = r.n and {MATCHES} offset 0) i
    order by r.rank desc, r.n desc limit %(most)s
"""
RANK = f"%(weight_{{i}})s * ts_rank(h.words, %(word_{{i}})s::text::tsquery) / {ONE_WORD}"
SIGNED = """
    select count(*) from (select from perdure.{table} where space = %(space)s and model = %(model)s limit %(few)s) v
"""
BY_MEANING = f"""
    select v.n from perdure.{{table}} v join perdure.working_items i on i.n = v.n
    where v.space = %(space)s and v.model = %(model)s and {MATCHES}
    order by {{order}} limit %(most)s
"""
RECENT = f"""
    select {COLUMNS}, v.vector from perdure.working_vectors v join perdure.working_items i on i.n = v.n
    where v.space = %(space)s and v.model = %(model)s and {MATCHES}
    order by v.n desc limit {MOST_RANKED}
"""
ITEMS = f"select {COLUMNS} from perdure.working_items i where i.n = any(%(n)s::bigint[])"
