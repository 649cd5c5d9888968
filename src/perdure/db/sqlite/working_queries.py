"""The SQL of working memory in SQLite, by name."""

from __future__ import annotations

COLUMNS = "i.n, i.number, i.id, i.part, i.kind, i.source, i.text, i.at, i.run, i.step, i.labels"
SPACE = "select id, items from working_spaces where tenant = ? and key = ?"
PUT_SPACE = """
    insert into working_spaces (tenant, key, items, began, changed) values (?1, ?2, ?3, ?4, ?4)
    on conflict (tenant, key) do update set items = items + ?3, changed = ?4 returning id
"""
SPACES = (
    "select key, items, began, changed from working_spaces where tenant = ? and key > ? order by key limit ?"
)
KNOWN = """
    select exists (select 1 from working_items i join working_spaces s on s.id = i.space
            where s.tenant = ?1 and s.key = ?2 and i.id = ?3)
        or exists (select 1 from working_forgotten f join working_spaces s on s.id = f.space
            where s.tenant = ?1 and s.key = ?2 and f.id = ?3)
"""
NEXT = "select coalesce(max(n), 0) + 1 from working_items"
ADD = """
    insert into working_items (n, number, space, id, part, kind, source, text, run, step, labels, at, due)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
ADD_MODEL = "insert into working_models (name) values (?) on conflict do nothing"
MODEL = "select id from working_models where name = ?"
ADD_VECTOR = "insert into working_vectors (n, space, model, vector) values (?, ?, ?, ?)"
ADD_SIGNS = "insert into working_signs (space, model, n, signs) values (?, ?, ?, ?)"
DROP_SIGNS = """
    delete from working_signs where (space, model, n) = (select space, model, n from working_vectors where n = ?)
"""
DROP_VECTOR = "delete from working_vectors where n = ?"
ADD_WORDS = "insert into working_words (rowid, words) values (?, ?)"
DROP_WORDS = "delete from working_words where rowid = ?"
DROP = "delete from working_items where n = ?"
FORGOTTEN = "insert or replace into working_forgotten (space, id, by, until) values (?, ?, ?, ?)"
FORGOTTEN_BY = "select exists (select 1 from working_forgotten where space = ? and id = ? and by = ?)"
# `indexed by`: a plan that cannot use its index is an error, and not a disaster that no small test shows.
OVER = "select n from working_items indexed by working_items_due where due is not null and due <= ? limit 100"
LONG_FORGOTTEN = "delete from working_forgotten where until <= ?"
GET = f"""
    select {COLUMNS} from working_items i where i.space = ? and i.id = ? and (i.due is null or i.due > ?)
    order by i.part
"""
NUMBERS = "select n from working_items where space = ? and id = ?"
NEWEST = f"""
    select {COLUMNS} from working_items i indexed by working_items_newest
    where i.space = :space and (i.due is null or i.due > :now) and i.number in (
        select distinct number from working_items indexed by working_items_newest
        where space = :space and number < :before and (due is null or due > :now) order by number desc limit :limit)
    order by i.number desc, i.part
"""
VOCABULARY = "select term, doc from working_vocabulary where term = ?"
COUNT = "select items from working_count"
HITS = """
    select n, score from (
        select rowid as n, -bm25(working_words) * :weight_{i} as score from working_words
        where working_words match :word_{i} order by rowid desc limit :share_{i})
"""
MATCHES = """
    (i.due is null or i.due > :now)
    and (:kinds is null or i.kind in (select value from json_each(:kinds)))
    and (:sources is null or i.source in (select value from json_each(:sources)))
    and (:without is null or not exists (
        select 1 from json_each(i.labels) where value in (select value from json_each(:without))))
"""
BY_WORDS = f"""
    with hits as materialized ({{hits}}), best as materialized ({{best}})
    select b.n, b.score from best b cross join working_items i on i.n = b.n where {MATCHES}
    order by b.score desc, b.n desc limit :most
"""
BEST = "select n, sum(score) as score from hits group by n order by 2 desc, n desc limit 4 * :most"
"""Where nothing is narrowed: of few of these the time is over, and to read all items would take twice as long."""
BEST_MATCHING = "select n, sum(score) as score from hits group by n"
SIGNED = "select count(*) from (select 1 from working_signs where space = ? and model = ? limit ?)"
# Those whose signs are alike, by themselves.
BY_MEANING = f"""
    with likely as materialized ({{likely}})
    select v.n from likely l cross join working_vectors v on v.n = l.n cross join working_items i on i.n = v.n
    where {MATCHES}
    order by vec_distance_cosine(v.vector, :vector), v.n desc limit :most
"""
LIKELY_ALL = "select n from working_signs where space = :space and model = :model"
LIKELY = """
    select n from working_signs where space = :space and model = :model
    order by vec_distance_hamming(vec_bit(signs), vec_bit(:signs)) limit :likely
"""
LIKELY_MATCHING = f"""
    select s.n from working_signs s cross join working_items i on i.n = s.n
    where s.space = :space and s.model = :model and {MATCHES}
    order by vec_distance_hamming(vec_bit(s.signs), vec_bit(:signs)) limit :likely
"""
ITEMS = f"select {COLUMNS} from working_items i where i.n in (select value from json_each(?))"
