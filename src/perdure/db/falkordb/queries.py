"""The Cypher of the ledger. Whatever is somebody's own goes in as a parameter; names here are our own.

A graph for each tenant. In it, each with the realm that it belongs to (`of`):

    (:Realm {k, v, ids, known})      v is counted up by each write: who has read another v has read something else
    (:Write)   (:Name)               rows
    (:Entity)-[:BECAME]->(:Entity)   what was merged
    (:Block)-[:OF]->(:Entity)        where similar names are looked for
    (:Entity)-[:FACT]->(:Entity)     a version of a fact; one that says a value leads to the realm's only (:Value)

`k` is the realm and an id: what the indexes are over, and what no other realm's id finds.
"""

from __future__ import annotations

__all__ = ["COMMITS", "FACT", "INDEXES", "props"]

INDEXES = (
    "CREATE INDEX FOR (n:Realm) ON (n.k)",
    "CREATE INDEX FOR (n:Value) ON (n.k)",
    "CREATE INDEX FOR (n:Entity) ON (n.k, n.of)",
    "CREATE INDEX FOR (n:Write) ON (n.k, n.key, n.of)",
    "CREATE INDEX FOR (n:Name) ON (n.same, n.owner, n.of)",
    "CREATE INDEX FOR (n:Block) ON (n.k, n.of)",
    "CREATE INDEX FOR ()-[f:FACT]-() ON (f.k, f.first)",
)


def props(name: str, *fields: str) -> str:
    """To be returned, in this order."""
    return ", ".join(f"{name}.{field}" for field in fields)


WRITE = props("w", "id", "key_", "kind", "did", "at", "run", "step", "labels", "undone")
ENTITY = props("e", "id", "kind", "name", "into", "write")
FACT_FIELDS = (
    *("version", "fact", "subject", "relation", "object", "value", "said_subject", "said_object"),
    *("valid_from", "valid_to", "said_to", "confidence", "at", "until", "write", "made", "ended"),
)
FACT = props("f", *FACT_FIELDS, "digest")

REALM = "MATCH (r:Realm {k: $realm}) RETURN r.v, r.ids"
MAKE_REALM = """
    MERGE (r:Realm {k: $realm}) ON CREATE SET r.v = 0, r.ids = 0, r.subject = $subject, r.agent = $agent
    MERGE (v:Value {k: $realm})
"""
REALMS = "MATCH (r:Realm) WHERE r.known = 1 RETURN r.subject, r.agent ORDER BY r.subject, r.agent"

DONE = f"MATCH (w:Write {{key: $key}}) RETURN {WRITE}"
WRITES = f"UNWIND $ks AS k MATCH (w:Write {{k: k}}) RETURN {WRITE} ORDER BY w.id"
LOG = f"MATCH (w:Write {{of: $realm}}) WHERE w.id > $after RETURN {WRITE} ORDER BY w.id LIMIT $limit"
ENTITIES = f"UNWIND $ks AS k MATCH (e:Entity {{k: k}}) RETURN {ENTITY} ORDER BY e.id"
MEMBERS = "UNWIND $ks AS k MATCH (e:Entity {k: k})<-[:BECAME*0..]-(m:Entity) RETURN e.id, m.id"
NAMED = "MATCH (n:Name {same: $same}) RETURN DISTINCT n.entity ORDER BY n.entity"
NEAR = """
    UNWIND $ks AS k MATCH (b:Block {k: k})-[:OF]->(e:Entity)
    RETURN e.id, count(b) AS shared ORDER BY shared DESC, e.id LIMIT $limit
"""
NAMES = """
    UNWIND $ks AS k MATCH (n:Name {owner: k}) RETURN n.entity, n.kind, n.name, n.write, n.n ORDER BY n.n
"""
LISTED = f"""
    MATCH (e:Entity {{of: $realm}}) WHERE e.id > $after AND e.into = 0 {{kind}}
    RETURN {ENTITY} ORDER BY e.id LIMIT $limit
"""
OUT = "MATCH (a:Entity {k: $k})-[f:FACT]->()"
IN = "MATCH (a:Entity {k: $k})<-[f:FACT]-()"
BOTH = "MATCH (a:Entity {k: $k})-[f:FACT]-()"
OF_VERSION = f"MATCH ()-[f:FACT {{k: $k}}]->() RETURN {FACT}"
VERSIONS = f"MATCH ()-[f:FACT {{first: $k}}]->() RETURN {FACT} ORDER BY f.version"
MOVING = f"""
    MATCH (a:Entity {{k: $k}})-[f:FACT]-()
    WHERE (f.subject = $source AND f.said_subject IN $said) OR (f.object = $source AND f.said_object IN $said)
    RETURN DISTINCT {FACT}
"""
WALK = "UNWIND $ks AS k MATCH (a:Entity {k: k}){left}-[f:FACT]-{right}(b:Entity)"

# One query is all or nothing. Each part goes on with the realm alone, whatever it has matched.
COMMIT = """
    MATCH (r:Realm {k: $realm}) WHERE r.v = $v SET r.v = $v + 1, r.ids = $ids, r.known = 1 WITH r
"""
COMMITS = {
    "writes": "UNWIND $writes AS x CREATE (w:Write) SET w = x",
    "undone": "UNWIND $undone AS x MATCH (w:Write {k: x.k}) SET w.undone = x.by",
    "entities": "UNWIND $entities AS x CREATE (e:Entity) SET e = x",
    "names": "UNWIND $names AS x CREATE (n:Name) SET n = x",
    "blocks": """
        UNWIND $blocks AS x MATCH (e:Entity {k: x.entity}) MERGE (b:Block {k: x.k}) ON CREATE SET b.of = $realm
        MERGE (b)-[:OF]->(e)
    """,
    "dropped": "UNWIND $dropped AS x MATCH (n:Name {owner: x.k}) WHERE n.write = x.write DELETE n",
    "split": "UNWIND $split AS x MATCH (e:Entity {k: x})-[b:BECAME]->() DELETE b SET e.into = 0",
    "merged": """
        UNWIND $merged AS x MATCH (e:Entity {k: x.k}) MATCH (i:Entity {k: x.into}) CREATE (e)-[:BECAME]->(i)
        SET e.into = x.id
    """,
    "gone": "UNWIND $gone AS x MATCH ()-[f:FACT {k: x}]->() DELETE f",
    "links": """
        UNWIND $links AS x MATCH (s:Entity {k: x.s}) MATCH (o:Entity {k: x.o}) CREATE (s)-[f:FACT]->(o) SET f = x.f
    """,
    "values": """
        UNWIND $values AS x MATCH (s:Entity {k: x.s}) MATCH (o:Value {k: $realm}) CREATE (s)-[f:FACT]->(o) SET f = x.f
    """,
}
FORGET = (
    "MATCH (n:Write {of: $realm}) DELETE n RETURN count(n)",
    "MATCH (n:Name {of: $realm}) DELETE n RETURN count(n)",
    "MATCH (n:Block {of: $realm}) DELETE n RETURN count(n)",
    "MATCH (:Entity {of: $realm})-[f:FACT]->() RETURN count(f)",
    "MATCH (n:Entity {of: $realm}) DELETE n RETURN count(n)",
)
FORGOTTEN = "MATCH (r:Realm {k: $realm}) SET r.v = r.v + 1, r.known = 0"
