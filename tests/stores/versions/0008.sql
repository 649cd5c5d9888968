-- SQLite dump (by APSW 3.54.1.0)
-- SQLite version 3.54.1
-- Date: Thu Nov 26 11:14:04 2026
-- Tables like: (All)
-- Database: old.db
-- User: root @ vm

-- The values of various per-database settings
PRAGMA page_size=8192;
-- PRAGMA encoding='UTF-8';
-- PRAGMA auto_vacuum=NONE;
-- PRAGMA max_page_count=4294967294;

-- This pragma is needed to restore virtual tables
PRAGMA writable_schema=ON;

BEGIN TRANSACTION;

-- Table  approvals
DROP TABLE IF EXISTS approvals;
CREATE TABLE approvals (
    rid       integer not null,
    step      text not null,
    question  text not null,
    opened_at integer not null,
    due       integer,
    show      blob not null,
    primary key (rid, step)
) without rowid;
INSERT INTO approvals VALUES(1,'ask','Send it?',1795667208383227,NULL,X'7B2273686F77223A2268656C6C6F20416461222C2263686F69636573223A6E756C6C2C22666F726D223A6E756C6C7D');

-- Table  audit_checkpoints
DROP TABLE IF EXISTS audit_checkpoints;
CREATE TABLE audit_checkpoints (
    size integer primary key,
    note text not null,              -- with its signatures
    at   integer not null,
    kept integer not null            -- it was sent away: of the others only the newest stays
);

-- Table  audit_cursor
DROP TABLE IF EXISTS audit_cursor;
CREATE TABLE audit_cursor (
    n integer not null
);
INSERT INTO audit_cursor VALUES(18);

-- Table  audit_leaves
DROP TABLE IF EXISTS audit_leaves;
CREATE TABLE audit_leaves (
    n      integer primary key,      -- its place in the tree, from 0
    rid    integer not null,
    tenant text not null,            -- with the run's id: what the leaf says must not hang on another row
    run    text not null,
    seq    integer not null,         -- the head that it names
    since  integer not null,         -- the head in this run's leaf before
    hash   blob not null
);
INSERT INTO audit_leaves VALUES(0,1,'default','v1-waiting',7,0,X'8F8F457335B96617BC4238D8B6E45497CDAF26BBD8147BFDF7424CF7FA977224');
INSERT INTO audit_leaves VALUES(1,2,'default','v1-done',11,0,X'A3931339776DD6B4C220892D45B9315C16B7718DFB0767A9620C493DE6B46C85');
-- Triggers and indices on  audit_leaves
CREATE UNIQUE INDEX audit_leaves_run on audit_leaves (rid, seq);

-- Table  audit_tiles
DROP TABLE IF EXISTS audit_tiles;
CREATE TABLE audit_tiles (
    level  integer not null,
    n      integer not null,
    hashes blob not null,            -- up to 256 of 32 bytes
    primary key (level, n)
);
INSERT INTO audit_tiles VALUES(0,0,X'0D8B932448ACBE6D07C9C0A18E657514942B69BF69F14DECB09AEC5EC2FECB86ECAB0BB508C41A2A8BF2C279675E5AA513DE7FCE14044A3ACABE97A18E46484C');

-- Table  blobs
DROP TABLE IF EXISTS blobs;
CREATE TABLE blobs (
    tenant  text not null,
    address blob not null,               -- HMAC-SHA-256 of the bytes under the tenant's key
    data    blob not null, at integer not null default 0,
    primary key (tenant, address)
);

-- Table  cells
DROP TABLE IF EXISTS cells;
CREATE TABLE cells (
    tenant text not null,
    kind   text not null,
    name   text not null,
    data   blob not null,            -- JSON
    due    integer,                  -- when somebody is to look at it
    primary key (tenant, kind, name)
) without rowid;
-- Triggers and indices on  cells
CREATE INDEX cells_due on cells (kind, due) where due is not null;

-- Table  declarations
DROP TABLE IF EXISTS declarations;
CREATE TABLE declarations (
    tenant  text not null,
    name    text not null,
    session text not null,
    digest  text not null,
    primary key (tenant, name, session)
) without rowid;

-- Table  entries
DROP TABLE IF EXISTS entries;
CREATE TABLE entries (
    n           integer primary key,
    rid         integer not null,
    seq         integer not null,
    format      integer not null,
    kind        integer not null,
    key         text not null,
    at          integer not null,
    took        integer not null,
    actor       text not null,
    epoch       integer not null,
    codec       integer not null,
    fingerprint blob not null,
    salt        blob not null,
    payload     blob,                    -- null: in blobs
    hash        blob not null,
    blob        blob                     -- address
);
INSERT INTO entries VALUES(1,1,1,1,1,'',1795667208351729,0,'start',0,1,X'871C9D081A0FF1A9C840F3F82C400F5E',X'0865FC1E69A6FB6A1C8EDBF086E0B383',X'7B226167656E74223A2267726565746572222C2276657273696F6E223A2231222C226C6162656C73223A7B7D2C22706172656E74223A6E756C6C2C22646561646C696E65223A6E756C6C2C226279223A22757365723A616461222C227375626A656374223A22637573746F6D65723A37222C22696E707574223A22416461227D',X'C3CA2546F58A39C4BC870223CBD4013F4D5FDEA023DB9283C4A485E12E01C8F2',NULL);
INSERT INTO entries VALUES(2,2,1,1,1,'',1795667208362240,0,'start',0,1,X'C5623F0420B3EB4F1DF05F65B79EB140',X'15D2B3C7FE8AFE6B996833D1EA870B36',X'7B226167656E74223A2267726565746572222C2276657273696F6E223A2231222C226C6162656C73223A7B7D2C22706172656E74223A6E756C6C2C22646561646C696E65223A6E756C6C2C22696E707574223A22426F62227D',X'80CAA90A1DA660EABF74C9C10179056F04D3567355E3B7A8B9C5AC2F372CCF3E',NULL);
INSERT INTO entries VALUES(3,1,2,1,2,'',1795667208371364,0,'w-0a8d26d0b3f0',1,1,X'',X'CD57C20C9AF8EF5FC190328483BE3C15',X'7B22776F726B6572223A22766D3A3235323035222C2276657273696F6E223A2231222C22756E636C65616E223A302C226265686176696F7572223A7B22646967657374223A2265643432346364363565663236326235222C227061727473223A7B22636F6465223A2236393864646634653566303665616238222C22746F6F6C73223A2235643337373265616437333837383334222C226D6F64656C73223A2234663533636461313863326261613063222C2270657264757265223A22302E312E30227D7D7D',X'59D21BA9A0522540F52E72C7A7A1F86CCB78FF2403F0DBD3A673C5516224192E',NULL);
INSERT INTO entries VALUES(4,2,2,1,2,'',1795667208371947,0,'w-0a8d26d0b3f0',1,1,X'',X'1122FCE35615404B2F7BCA2DD89077D4',X'7B22776F726B6572223A22766D3A3235323035222C2276657273696F6E223A2231222C22756E636C65616E223A302C226265686176696F7572223A7B22646967657374223A2265643432346364363565663236326235222C227061727473223A7B22636F6465223A2236393864646634653566303665616238222C22746F6F6C73223A2235643337373265616437333837383334222C226D6F64656C73223A2234663533636461313863326261613063222C2270657264757265223A22302E312E30227D7D7D',X'81E635433264CBAF2A57FBAD6751E5B5252642CE23838C6C1D2155F62A016ABB',NULL);
INSERT INTO entries VALUES(5,1,3,1,3,'greet',1795667208380144,7476,'w-0a8d26d0b3f0',1,1,X'46BA6FDB8E42E02A255E0ABFE0603F54',X'C2CFF9E72D64A988A1EDC61C7A92E50C',X'2268656C6C6F2041646122',X'4FA4ABF01FED46CFE7BDE3C75F12A8BBF9E78C7852113BD138B6C3CFA130E314',NULL);
INSERT INTO entries VALUES(6,2,3,1,3,'greet',1795667208380617,4781,'w-0a8d26d0b3f0',1,1,X'46BA6FDB8E42E02A255E0ABFE0603F54',X'BAF85D8E9F730AE7C3FD30EA7CEF4E86',X'2268656C6C6F20426F6222',X'A7C4457E4DDFE45ECA4A4C718090D1FBDCC887410F12A608B853F8F14A8CB774',NULL);
INSERT INTO entries VALUES(7,1,4,1,5,'pay',1795667208381182,0,'w-0a8d26d0b3f0',1,1,X'0CCA2D09A8FC65323328D68E360A90F3',X'B6F0465DDBF5CD3E6E728477395CFAAA',X'7B22746F6F6C223A22706179222C226B6579223A2276312D77616974696E672F706179222C22617474656D7074223A312C22617267756D656E7473223A7B22616D6F756E74223A337D7D',X'593B667D2259C54AC9CFC869B15CB7646E005BEEA92B20720C336F128A90A1AD',NULL);
INSERT INTO entries VALUES(8,2,4,1,5,'pay',1795667208381256,0,'w-0a8d26d0b3f0',1,1,X'0CCA2D09A8FC65323328D68E360A90F3',X'52BD6DAD86A73033CF8FE6CE4B65AB24',X'7B22746F6F6C223A22706179222C226B6579223A2276312D646F6E652F706179222C22617474656D7074223A312C22617267756D656E7473223A7B22616D6F756E74223A337D7D',X'ED466D885CB8BF87408A0AE88F424FF8E565FCE3593B20C3D7E1E51CE414AE31',NULL);
INSERT INTO entries VALUES(9,1,5,1,3,'pay',1795667208382504,57,'w-0a8d26d0b3f0',1,1,X'0CCA2D09A8FC65323328D68E360A90F3',X'D21C035A4A353265F95386DD4B5B8649',X'2270616964203322',X'35BC4C3F84BD3876C790328EE9D2E9967B5836CE0A31158C9638BA1436DE9D13',NULL);
INSERT INTO entries VALUES(10,2,5,1,3,'pay',1795667208382569,10,'w-0a8d26d0b3f0',1,1,X'0CCA2D09A8FC65323328D68E360A90F3',X'D17D548E57A97569C958FF7C06D8B035',X'2270616964203322',X'D114D1FE59A919FC69771BD1B19CE0093A325E8002551B7ACAFD0B61C1DEFE2E',NULL);
INSERT INTO entries VALUES(11,1,6,1,8,'ask',1795667208383300,0,'w-0a8d26d0b3f0',1,1,X'152F074CBE83EDA2DF2F9F5C59B42F16',X'902AAB75E354C338D13CAA86316003D3',X'7B226F6E223A22617070726F76616C222C226E616D65223A2261736B222C22647565223A6E756C6C2C227175657374696F6E223A2253656E642069743F222C2273686F77223A2268656C6C6F20416461222C2263686F69636573223A6E756C6C2C22666F726D223A6E756C6C2C22646967657374223A2231303236666233323039666339636135306130646630303533626566626338346330333861376261323939303535366565613463363266383462383538353631227D',X'37FAD4E54B3CDE91B9D6A5E7DAE3D154DB29D6AD77EEEF4541262FABCDFE0170',NULL);
INSERT INTO entries VALUES(12,2,6,1,8,'ask',1795667208383401,0,'w-0a8d26d0b3f0',1,1,X'152F074CBE83EDA2DF2F9F5C59B42F16',X'018D53654DE81D674D007EB190BA8D74',X'7B226F6E223A22617070726F76616C222C226E616D65223A2261736B222C22647565223A6E756C6C2C227175657374696F6E223A2253656E642069743F222C2273686F77223A2268656C6C6F20426F62222C2263686F69636573223A6E756C6C2C22666F726D223A6E756C6C2C22646967657374223A2263316361343239323535653136356631623338393330623465366365656561366234353033656366306464306236646465353965663135663461646165646539227D',X'FABA80A89035126DAA8709DAD7FF9FB0A260D943A96FF0BAA4A467C231FA270C',NULL);
INSERT INTO entries VALUES(13,1,7,1,14,'',1795667208383575,0,'w-0a8d26d0b3f0',1,1,X'',X'8D9E8F6526CB8536004D89AC6720D024',X'7B22726561736F6E73223A5B22617070726F76616C225D2C22756E74696C223A6E756C6C7D',X'8F8F457335B96617BC4238D8B6E45497CDAF26BBD8147BFDF7424CF7FA977224',NULL);
INSERT INTO entries VALUES(14,2,7,1,14,'',1795667208383634,0,'w-0a8d26d0b3f0',1,1,X'',X'1D764367D629BF62C209EF05AED2C18B',X'7B22726561736F6E73223A5B22617070726F76616C225D2C22756E74696C223A6E756C6C7D',X'CCB3DD88C16074C29DEE260EFB0C3B1E083F7D57C45D1A3AFE3E09FC93000022',NULL);
INSERT INTO entries VALUES(15,2,8,1,2,'',1795667208397141,0,'w-0a8d26d0b3f0',2,1,X'',X'D7A6EA54EB07037F883282565DA489FF',X'7B22776F726B6572223A22766D3A3235323035222C2276657273696F6E223A2231222C22756E636C65616E223A302C226265686176696F7572223A7B22646967657374223A2265643432346364363565663236326235227D7D',X'EEFC9D54E63DA15562F14387BBE29A209BBBC55C1834E75B9E3277CCDB89A06A',NULL);
INSERT INTO entries VALUES(16,2,9,1,9,'',1795667208398037,0,'w-0a8d26d0b3f0',2,1,X'',X'D393D6AAFAA69E1573E343BF7FAA7401',X'7B226B696E64223A22616E73776572222C226E616D65223A2261736B222C226964223A22616E737765722D61736B222C2273656E646572223A22657665222C226174223A313739353636373230383338373438312C22626F6479223A7B22617070726F766564223A747275652C22726561736F6E223A6E756C6C2C2276616C7565223A6E756C6C7D7D',X'79CADDC4522CF2FAC25E96F87B5E0F496FB2A84BFC1D46B9C455759EFAEB0785',NULL);
INSERT INTO entries VALUES(17,2,10,1,3,'ask',1795667208398871,0,'w-0a8d26d0b3f0',2,1,X'152F074CBE83EDA2DF2F9F5C59B42F16',X'D12E52B7CBCBBD6A2721745CC69F89AE',X'7B2266726F6D223A397D',X'2A1F4955CCFCD56A5ABB309B71256868BFB623B226C8102FABF7A6569EC28B08',NULL);
INSERT INTO entries VALUES(18,2,11,1,16,'',1795667208400829,0,'w-0a8d26d0b3f0',2,1,X'',X'06336DA0CF6BA2EBD67DBC2E8AB5F899',X'7B22737461747573223A22737563636565646564222C22756E64656C697665726564223A5B5D2C22726573756C74223A2268656C6C6F20426F622054727565227D',X'A3931339776DD6B4C220892D45B9315C16B7718DFB0767A9620C493DE6B46C85',NULL);
-- Triggers and indices on  entries
CREATE INDEX entries_blob on entries (blob) where blob is not null;
CREATE UNIQUE INDEX entries_run on entries (rid, seq);

-- Table  inbox
DROP TABLE IF EXISTS inbox;
CREATE TABLE inbox (
    rid    integer not null,
    n      integer not null,
    kind   text not null,
    name   text not null,
    id     text not null,
    sender text not null,
    at     integer not null,
    body   blob not null,
    primary key (rid, n),
    unique (rid, id)
) without rowid;
INSERT INTO inbox VALUES(2,1,'answer','ask','answer-ask','eve',1795667208387481,X'7B22617070726F766564223A747275652C22726561736F6E223A6E756C6C2C2276616C7565223A6E756C6C7D');

-- Table  moved
DROP TABLE IF EXISTS moved;
CREATE TABLE moved (
    url text not null,
    at  integer not null
);

-- Table  projected
DROP TABLE IF EXISTS projected;
CREATE TABLE projected (
    one    integer primary key check (one = 1),
    cursor integer not null,
    until  integer                           -- they are being made again, up to this leaf
);
INSERT INTO projected VALUES(1,1,NULL);

-- Table  run_figures
DROP TABLE IF EXISTS run_figures;
CREATE TABLE run_figures (
    rid     integer primary key,
    folded  integer not null,                -- the entry up to which the journal was folded
    stale   integer not null default 0,      -- it was folded before the projections were dropped
    pruned  integer not null default 0,      -- its payloads were taken away: no text of it is kept
    goal    text,
    search  text,                            -- the goal, whatever its case
    money   integer not null default 0,      -- nano-dollars
    figures text not null default '{}',      -- JSON, to be shown
    state   text not null default ''         -- JSON, to go on from
);
INSERT INTO run_figures VALUES(1,7,0,0,'Ada','ada',0,'{"active":12211,"approvals":1,"folded":7,"step":"ask"}','{"began":1795667208351729,"done":12211,"figures":{"approvals":1,"step":"ask"},"folded":7,"parts":[[498796,"run","started",{"0":1}],[498796,"step","greet",{"0":1,"1":1,"10":7476,"11":1}],[498796,"step","pay",{"0":1,"1":1,"10":57,"11":1}]],"standing":"waiting:approval","waits":{"ask":["approval",1795667208383300]}}');
INSERT INTO run_figures VALUES(2,11,0,0,'Bob','bob',0,'{"active":15375,"approvals":1,"folded":11,"step":"ask"}','{"began":1795667208362240,"done":15375,"figures":{"approvals":1,"step":"ask"},"folded":11,"parts":[[498796,"run","started",{"0":1}],[498796,"run","succeeded",{"0":1,"1":1,"10":15375,"12":1}],[498796,"step","greet",{"0":1,"1":1,"10":4781,"11":1}],[498796,"step","pay",{"0":1,"1":1,"10":10,"11":1}],[498796,"wait","approval",{"0":1,"1":1,"10":15470,"12":1}],[498796,"wall","succeeded",{"0":1,"1":1,"10":38589,"13":1}]]}');

-- Table  runs
DROP TABLE IF EXISTS runs;
CREATE TABLE runs (
    rid           integer primary key,   -- never reused while entries exist; never leaves the process
    tenant        text not null,
    id            text not null,
    agent         text not null,
    version       text not null,
    status        text not null,
    reasons       text not null default '[]',
    labels        text not null default '{}',
    parent        text,
    created_at    integer not null,
    updated_at    integer not null,
    deadline      integer,
    next_wake     integer,               -- null: not due at any time (running, ended, or waits for a message)
    head          integer not null,
    head_hash     blob not null,
    epoch         integer not null default 0,
    session       text,
    results       integer not null default 0,
    claim_results integer not null default 0,
    unclean       integer not null default 0,
    alone         integer not null default 0,
    alone_deaths  integer not null default 0,
    inbox_seq     integer not null default 0,
    drained_seq   integer not null default 0,
    progress      text, priority integer not null default 0, needs text not null default '', ready integer not null default 0, base integer not null default 1, base_hash blob, generation integer not null default 1, ended_at integer, pruned_at integer, principal text, subject text,
    unique (tenant, id)
);
INSERT INTO runs VALUES(1,'default','v1-waiting','greeter','1','waiting','["approval"]','{}',NULL,1795667208360089,1795667208384365,NULL,NULL,7,X'8F8F457335B96617BC4238D8B6E45497CDAF26BBD8147BFDF7424CF7FA977224',1,NULL,2,0,0,0,0,0,0,NULL,0,'',0,1,NULL,1,NULL,NULL,'user:ada',NULL);
INSERT INTO runs VALUES(2,'default','v1-done','greeter','1','succeeded','[]','{}',NULL,1795667208363457,1795667208401167,NULL,NULL,11,X'A3931339776DD6B4C220892D45B9315C16B7718DFB0767A9620C493DE6B46C85',2,NULL,3,2,0,0,0,1,1,NULL,0,'',0,1,NULL,1,1795667208401167,NULL,NULL,NULL);
-- Triggers and indices on  runs
CREATE INDEX runs_adrift on runs (updated_at) where status = 'running' and session is null;
CREATE INDEX runs_agent on runs (tenant, agent);
CREATE INDEX runs_claimed on runs (session) where session is not null;
CREATE INDEX runs_ended on runs (agent, status, ended_at) where ended_at is not null and pruned_at is null;
CREATE INDEX runs_newest on runs (tenant);
CREATE INDEX runs_parent on runs (tenant, parent) where parent is not null;
CREATE INDEX runs_principal on runs (tenant, principal) where principal is not null;
CREATE INDEX runs_ready on runs (agent, version, needs, tenant, priority desc, next_wake, rid) where ready = 1;
CREATE INDEX runs_running on runs (agent, tenant) where status = 'running';
CREATE INDEX runs_status on runs (tenant, status, rid);
CREATE INDEX runs_subject on runs (tenant, subject) where subject is not null;
CREATE INDEX runs_timers on runs (next_wake) where ready = 0 and next_wake is not null;

-- Table  schedules
DROP TABLE IF EXISTS schedules;
CREATE TABLE schedules (
    tenant   text not null,
    name     text not null,
    agent    text not null,
    spec     text not null,          -- JSON: cron, timezone, policies, input
    state    text not null,          -- JSON: counters, what waits for the previous run to end
    next     integer,                -- the nominal time of the next firing; null: never again
    last     integer,
    last_run text,
    paused   integer not null default 0,
    revision integer not null,       -- compare and set
    primary key (tenant, name)
) without rowid;

-- Table  sessions
DROP TABLE IF EXISTS sessions;
CREATE TABLE sessions (
    id      text primary key,
    label   text not null,
    lease   integer not null,
    expires integer not null
, about text not null default '{}') without rowid;

-- Table  tallies
DROP TABLE IF EXISTS tallies;
CREATE TABLE tallies (
    grain         integer not null,          -- 0: of all time, 1: of a day, 2: of an hour
    at            integer not null,          -- when that began
    tenant        text not null,
    agent         text not null,
    version       text not null,
    what          text not null,
    name          text not null,
    outcome       text not null,
    label         text not null,
    n             integer not null,
    calls         integer not null,
    errors        integer not null,
    input_tokens  integer not null,
    output_tokens integer not null,
    model_calls   integer not null,
    tool_calls    integer not null,
    money         integer not null,
    unpriced      integer not null,
    estimated     integer not null,
    micros        integer not null,
    h0 integer not null, h1 integer not null, h2 integer not null, h3 integer not null, h4 integer not null,
    h5 integer not null, h6 integer not null, h7 integer not null, h8 integer not null, h9 integer not null,
    h10 integer not null, h11 integer not null, h12 integer not null, h13 integer not null, h14 integer not null,
    h15 integer not null, h16 integer not null, h17 integer not null, h18 integer not null,
    primary key (grain, at, tenant, agent, version, what, name, outcome, label)
) without rowid;
INSERT INTO tallies VALUES(0,0,'default','greeter','1','run','started','','',2,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0);
INSERT INTO tallies VALUES(0,0,'default','greeter','1','run','succeeded','','',1,1,0,0,0,0,0,0,0,0,15375,0,1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0);
INSERT INTO tallies VALUES(0,0,'default','greeter','1','standing','waiting:approval','','',1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0);
INSERT INTO tallies VALUES(0,0,'default','greeter','1','step','greet','','',2,2,0,0,0,0,0,0,0,0,12257,2,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0);
INSERT INTO tallies VALUES(0,0,'default','greeter','1','step','pay','','',2,2,0,0,0,0,0,0,0,0,67,2,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0);
INSERT INTO tallies VALUES(0,0,'default','greeter','1','wait','approval','','',1,1,0,0,0,0,0,0,0,0,15470,0,1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0);
INSERT INTO tallies VALUES(0,0,'default','greeter','1','wall','succeeded','','',1,1,0,0,0,0,0,0,0,0,38589,0,0,1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0);
INSERT INTO tallies VALUES(1,1795651200000000,'default','greeter','1','run','started','','',2,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0);
INSERT INTO tallies VALUES(1,1795651200000000,'default','greeter','1','run','succeeded','','',1,1,0,0,0,0,0,0,0,0,15375,0,1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0);
INSERT INTO tallies VALUES(1,1795651200000000,'default','greeter','1','step','greet','','',2,2,0,0,0,0,0,0,0,0,12257,2,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0);
INSERT INTO tallies VALUES(1,1795651200000000,'default','greeter','1','step','pay','','',2,2,0,0,0,0,0,0,0,0,67,2,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0);
INSERT INTO tallies VALUES(1,1795651200000000,'default','greeter','1','wait','approval','','',1,1,0,0,0,0,0,0,0,0,15470,0,1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0);
INSERT INTO tallies VALUES(1,1795651200000000,'default','greeter','1','wall','succeeded','','',1,1,0,0,0,0,0,0,0,0,38589,0,0,1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0);
INSERT INTO tallies VALUES(2,1795665600000000,'default','greeter','1','run','started','','',2,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0);
INSERT INTO tallies VALUES(2,1795665600000000,'default','greeter','1','run','succeeded','','',1,1,0,0,0,0,0,0,0,0,15375,0,1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0);
INSERT INTO tallies VALUES(2,1795665600000000,'default','greeter','1','step','greet','','',2,2,0,0,0,0,0,0,0,0,12257,2,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0);
INSERT INTO tallies VALUES(2,1795665600000000,'default','greeter','1','step','pay','','',2,2,0,0,0,0,0,0,0,0,67,2,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0);
INSERT INTO tallies VALUES(2,1795665600000000,'default','greeter','1','wait','approval','','',1,1,0,0,0,0,0,0,0,0,15470,0,1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0);
INSERT INTO tallies VALUES(2,1795665600000000,'default','greeter','1','wall','succeeded','','',1,1,0,0,0,0,0,0,0,0,38589,0,0,1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0);

-- Table  tenants
DROP TABLE IF EXISTS tenants;
CREATE TABLE tenants (
    tenant text primary key,
    key    blob not null                 -- of fingerprints and blob addresses
) without rowid;
INSERT INTO tenants VALUES('default',X'8DB520D0FFF5D6C42693E6D2F2255EE08AA47C8EA2D007EB9C0C0E5BBD303E1A');

-- Table  working_count
DROP TABLE IF EXISTS working_count;
CREATE TABLE working_count (items integer not null);
INSERT INTO working_count VALUES(0);

-- Table  working_forgotten
DROP TABLE IF EXISTS working_forgotten;
CREATE TABLE working_forgotten (
    space integer not null,
    id    text not null,
    by    text not null,                     -- made of the key of the write that forgot it
    until integer not null,
    primary key (space, id)
) without rowid;
-- Triggers and indices on  working_forgotten
CREATE INDEX working_forgotten_until on working_forgotten (until);

-- Table  working_items
DROP TABLE IF EXISTS working_items;
CREATE TABLE working_items (
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
-- Triggers and indices on  working_items
CREATE INDEX working_items_due on working_items (due) where due is not null;
CREATE TRIGGER working_items_less after delete on working_items begin update working_count set items = items - 1; end;
CREATE TRIGGER working_items_more after insert on working_items begin update working_count set items = items + 1; end;
CREATE INDEX working_items_newest on working_items (space, number desc, part);
CREATE UNIQUE INDEX working_items_text on working_items (space, id, part);

-- Table  working_models
DROP TABLE IF EXISTS working_models;
CREATE TABLE working_models (
    id   integer primary key,
    name text not null unique
);

-- Table  working_signs
DROP TABLE IF EXISTS working_signs;
CREATE TABLE working_signs (
    space integer not null,
    model integer not null,
    n     integer not null,
    signs blob not null,
    primary key (space, model, n)
) without rowid;

-- Table  working_spaces
DROP TABLE IF EXISTS working_spaces;
CREATE TABLE working_spaces (
    id      integer primary key,
    tenant  text not null,
    key     text not null,                   -- agent and name, as one text
    items   integer not null default 0,      -- passages that were ever added
    began   integer not null,
    changed integer not null,
    unique (tenant, key)
);

-- Table  working_vectors
DROP TABLE IF EXISTS working_vectors;
CREATE TABLE working_vectors (
    n      integer primary key,              -- the item's
    space  integer not null,
    model  integer not null,
    vector blob not null                     -- numbers of 4 bytes; its length is 1
);

-- Table  working_vocabulary
DELETE FROM sqlite_schema WHERE name='working_vocabulary' AND type='table';
INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql) VALUES('table','working_vocabulary','working_vocabulary',0,'CREATE VIRTUAL TABLE working_vocabulary using fts5vocab (working_words, row)');

-- Table  working_words
DELETE FROM sqlite_schema WHERE name='working_words' AND type='table';
INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql) VALUES('table','working_words','working_words',0,'CREATE VIRTUAL TABLE working_words using fts5 (
    words, content = '''', contentless_delete = 1, tokenize = ''ascii''
)');

-- Table  working_words_config
DROP TABLE IF EXISTS working_words_config;
CREATE TABLE 'working_words_config'(k PRIMARY KEY, v) WITHOUT ROWID;
INSERT INTO working_words_config VALUES('version',4);

-- Table  working_words_data
DROP TABLE IF EXISTS working_words_data;
CREATE TABLE 'working_words_data'(id INTEGER PRIMARY KEY, block BLOB);
INSERT INTO working_words_data VALUES(1,X'');
INSERT INTO working_words_data VALUES(10,X'00000000FF000001000000');

-- Table  working_words_docsize
DROP TABLE IF EXISTS working_words_docsize;
CREATE TABLE 'working_words_docsize'(id INTEGER PRIMARY KEY, sz BLOB, origin INTEGER);

-- Table  working_words_idx
DROP TABLE IF EXISTS working_words_idx;
CREATE TABLE 'working_words_idx'(segid, term, pgno, PRIMARY KEY(segid, term)) WITHOUT ROWID;

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

-- Database header
pragma user_version=8;
pragma application_id=1348825700;

COMMIT TRANSACTION;

-- Restoring writable schema back to default
PRAGMA writable_schema=OFF;

-- We need to force SQLite to reread the schema because otherwise it doesn't
-- know that the virtual tables we inserted directly into sqlite_schema exist.
BEGIN;
CREATE TABLE no_such_table(x,y,z);
ROLLBACK;
