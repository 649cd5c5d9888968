-- A store of version 1, with rows of real runs; its tables are those of `migrations/0001.sql`.
create schema perdure;
create table perdure.schema (version integer not null);
-- Version 1. Times are microseconds since the Unix epoch, by the database's own clock.
-- In a schema of its own, and every statement names it: behind a transaction pooler there is no `search_path`.

create table perdure.tenants (
    tenant text primary key,
    key    bytea not null                -- of fingerprints and blob addresses
);

-- An append changes no indexed column of its run, so that the row is updated in its page (HOT); a fuller page has no
-- room for that. No index may name head, results or updated_at.
create table perdure.runs (
    rid           bigint generated always as identity primary key,
    tenant        text not null,
    id            text not null,
    agent         text not null,
    version       text not null,
    status        text not null,
    reasons       text[] not null default '{}',  -- each as JSON: text cannot hold what a reason may (U+0000)
    labels        text[] not null default '{}',  -- each as JSON: ["key", "value"]
    parent        text,
    created_at    bigint not null,
    updated_at    bigint not null,
    deadline      bigint,
    next_wake     bigint,                -- null: not due at any time (running, ended, or waits for a message)
    head          bigint not null,
    head_hash     bytea not null,
    epoch         bigint not null default 0,
    session       text,
    results       bigint not null default 0,
    claim_results bigint not null default 0,
    unclean       integer not null default 0,
    alone         integer not null default 0,
    alone_deaths  integer not null default 0,
    inbox_seq     bigint not null default 0,
    drained_seq   bigint not null default 0,
    progress      text,
    unique (tenant, id)
) with (fillfactor = 70);
create index runs_due on perdure.runs (agent, version, next_wake, rid) where next_wake is not null;
create index runs_claimed on perdure.runs (session) where session is not null;
create index runs_adrift on perdure.runs (rid) where status = 'running' and session is null;
create index runs_status on perdure.runs (tenant, status, rid);
create index runs_parent on perdure.runs (tenant, parent) where parent is not null;

create table perdure.entries (
    rid         bigint not null,
    seq         bigint not null,
    format      smallint not null,
    kind        smallint not null,
    key         text not null,
    at          bigint not null,
    took        bigint not null,
    actor       text not null,
    epoch       bigint not null,
    codec       smallint not null,
    fingerprint bytea not null,
    salt        bytea not null,
    payload     bytea,                   -- null: in blobs
    hash        bytea not null,
    blob        bytea,                   -- address
    primary key (rid, seq)
);

create table perdure.blobs (
    tenant  text not null,
    address bytea not null,              -- HMAC-SHA-256 of the bytes under the tenant's key
    data    bytea not null,
    primary key (tenant, address)
);

create table perdure.inbox (
    rid    bigint not null,
    n      bigint not null,
    kind   text not null,
    name   text not null,
    id     text not null,
    sender text not null,
    at     bigint not null,
    body   bytea not null,
    primary key (rid, n),
    unique (rid, id)
);

create table perdure.approvals (
    rid       bigint not null,
    step      text not null,
    question  text not null,
    opened_at bigint not null,
    due       bigint,
    show      bytea not null,
    primary key (rid, step)
);

create table perdure.sessions (
    id      text primary key,
    label   text not null,
    lease   bigint not null,
    expires bigint not null
);

-- One row a writer, written in each of its transactions: whether a commit whose answer was lost happened, and
-- whether there is news for those who cannot listen.
create table perdure.batches (
    writer text primary key,
    number bigint not null,
    news   bigint not null,
    at     bigint not null
) with (fillfactor = 50);

insert into perdure.schema values (1);
insert into perdure.tenants (tenant, key) values ('default', '\xf8f0a940c9a0b99506185b0430f6dc046b41c26aaef4f8e6d0553367f865b3e3');
insert into perdure.runs (rid, tenant, id, agent, version, status, reasons, labels, parent, created_at, updated_at, deadline, next_wake, head, head_hash, epoch, session, results, claim_results, unclean, alone, alone_deaths, inbox_seq, drained_seq, progress) overriding system value values (1, 'default', 'v1-waiting', 'greeter', '1', 'waiting', array['"approval"']::text[], array['["team", "a"]']::text[], null, 1795231074386881, 1795231074396664, null, null, 7, '\x7f05d6a58b7b61ddb7f6471b3f96afdb76a1bb20594f5ac50483d677b3f6e0e4', 1, null, 2, 0, 0, 0, 0, 0, 0, null);
insert into perdure.runs (rid, tenant, id, agent, version, status, reasons, labels, parent, created_at, updated_at, deadline, next_wake, head, head_hash, epoch, session, results, claim_results, unclean, alone, alone_deaths, inbox_seq, drained_seq, progress) overriding system value values (2, 'default', 'v1-done', 'greeter', '1', 'succeeded', array[]::text[], array[]::text[], null, 1795231074389373, 1795231074410619, null, null, 11, '\xe3cbd724b149a10abb588e39dde1aaac47ebce4aa93409263af95863bbed9284', 2, null, 3, 2, 0, 0, 0, 1, 1, null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values (1, 1, 1, 1, '', 1795231074384929, 0, 'start', 0, 1, '\x6b94201fa6f16eda7710e3b89a147dbd', '\x66fc394e4259d9b2845ec8c5dc78e9ca', '\x7b226167656e74223a2267726565746572222c2276657273696f6e223a2231222c226c6162656c73223a7b227465616d223a2261227d2c22706172656e74223a6e756c6c2c22646561646c696e65223a6e756c6c2c22696e707574223a22416461227d', '\xde6e28266ed24bc6f0e55b27f79a99a19283c974e4972cba26f7431ee20a0812', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values (2, 1, 1, 1, '', 1795231074387698, 0, 'start', 0, 1, '\x75839a3414ec9c2c9fbcd1f97c9baec3', '\x940c94381842d00a5e56dc70815b4c97', '\x7b226167656e74223a2267726565746572222c2276657273696f6e223a2231222c226c6162656c73223a7b7d2c22706172656e74223a6e756c6c2c22646561646c696e65223a6e756c6c2c22696e707574223a22426f62227d', '\x017d7d17bf7af43df2e24431e45f8ce6d4eac567a2dc0cfe28cc01ecfa91e0c8', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values (1, 2, 1, 2, '', 1795231074391269, 0, 'w-09bced0cac63', 1, 1, '\x', '\x85609fe45375c7dbb004152a86a5c833', '\x7b22776f726b6572223a22766d3a31303139222c2276657273696f6e223a2231222c22756e636c65616e223a307d', '\x2681353aad77b85a951d5cc4707e859652ea81f3551d28d3e4b20c0700299da5', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values (2, 2, 1, 2, '', 1795231074391428, 0, 'w-09bced0cac63', 1, 1, '\x', '\x7a7a170a49d5a90b4ac020a9720abf4c', '\x7b22776f726b6572223a22766d3a31303139222c2276657273696f6e223a2231222c22756e636c65616e223a307d', '\xaa966143e1a189a192b723212a701f98af288c4fea63d17a099fff798d849ead', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values (1, 3, 1, 3, 'greet', 1795231074394666, 3059, 'w-09bced0cac63', 1, 1, '\x965e7cddef8c5a2a21ae9bb1a6df936f', '\x7b65dd6a2890d4d8c2e83f0df4b82588', '\x2268656c6c6f2041646122', '\x589c66baf5ed007a919fcfe2bf29e605b7decafc1728f30072a9dd309fb039ac', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values (1, 4, 1, 5, 'pay', 1795231074394772, 0, 'w-09bced0cac63', 1, 1, '\x65ddbea9e454e42193014dda03a2dd21', '\x2157f3f38881e45ed8a6f1b7cad5ac49', '\x7b22746f6f6c223a22706179222c226b6579223a2276312d77616974696e672f706179222c22617474656d7074223a312c22617267756d656e7473223a7b22616d6f756e74223a337d7d', '\x85118788fb63dc3ca612e55e5a5c810b12fa3edfa65cee7c33ecba0bf1bb6f6e', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values (2, 3, 1, 3, 'greet', 1795231074394812, 393, 'w-09bced0cac63', 1, 1, '\x965e7cddef8c5a2a21ae9bb1a6df936f', '\x5d7f3475f46ab85c084e44262ca32363', '\x2268656c6c6f20426f6222', '\x651cdc1363acc00b0d747d15db8d1eafa7f483d7e6e086995ac7844e6851c261', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values (2, 4, 1, 5, 'pay', 1795231074394872, 0, 'w-09bced0cac63', 1, 1, '\x65ddbea9e454e42193014dda03a2dd21', '\x4695ef5bdccfbd8278b0d0752aaf3e6c', '\x7b22746f6f6c223a22706179222c226b6579223a2276312d646f6e652f706179222c22617474656d7074223a312c22617267756d656e7473223a7b22616d6f756e74223a337d7d', '\x02b5d4cbfab70cbe38ee976b3b5c20a0ddf042b60e431a849fed3e65e8b1cf83', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values (1, 5, 1, 3, 'pay', 1795231074395423, 57, 'w-09bced0cac63', 1, 1, '\x65ddbea9e454e42193014dda03a2dd21', '\xafe31490f53ed9b25f90503a2fe4dc4d', '\x2270616964203322', '\xc3dc06e3ef3daf69904a7837cd96da7a4f39de801a7906ae1aeb0b201420e757', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values (2, 5, 1, 3, 'pay', 1795231074395483, 10, 'w-09bced0cac63', 1, 1, '\x65ddbea9e454e42193014dda03a2dd21', '\x6cf8880ece9447176de24ce0d3824559', '\x2270616964203322', '\xe8963482b3b214793a231b371a0909dbdbeff4b219e67320ea61bd66436ce48c', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values (1, 6, 1, 8, 'ask', 1795231074395975, 0, 'w-09bced0cac63', 1, 1, '\x8c6e1411f40c06dc3e4876c3e42d6417', '\x307cabc685612fa7e8f40ca0e5a76219', '\x7b226f6e223a22617070726f76616c222c226e616d65223a2261736b222c22647565223a6e756c6c2c227175657374696f6e223a2253656e642069743f222c2273686f77223a2268656c6c6f20416461222c2263686f69636573223a6e756c6c2c22646967657374223a2231303236666233323039666339636135306130646630303533626566626338346330333861376261323939303535366565613463363266383462383538353631227d', '\x3cececa9ea14da438b9e5afe6ea23edaf29fbf8f29da4a868d5b8e5ea1b0049a', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values (2, 6, 1, 8, 'ask', 1795231074396062, 0, 'w-09bced0cac63', 1, 1, '\x8c6e1411f40c06dc3e4876c3e42d6417', '\x7a5e2f50852c03bbe4954ac9903bc709', '\x7b226f6e223a22617070726f76616c222c226e616d65223a2261736b222c22647565223a6e756c6c2c227175657374696f6e223a2253656e642069743f222c2273686f77223a2268656c6c6f20426f62222c2263686f69636573223a6e756c6c2c22646967657374223a2263316361343239323535653136356631623338393330623465366365656561366234353033656366306464306236646465353965663135663461646165646539227d', '\x770fe3a20e82eedf726d17a8701643a41e121384fad63520029d3f8bde1f82d0', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values (1, 7, 1, 14, '', 1795231074396147, 0, 'w-09bced0cac63', 1, 1, '\x', '\x83e34b60ffa7b48d302a00d2bbe31ee8', '\x7b22726561736f6e73223a5b22617070726f76616c225d2c22756e74696c223a6e756c6c7d', '\x7f05d6a58b7b61ddb7f6471b3f96afdb76a1bb20594f5ac50483d677b3f6e0e4', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values (2, 7, 1, 14, '', 1795231074396565, 0, 'w-09bced0cac63', 1, 1, '\x', '\x93a52a89277075881e08acd3b6e7a527', '\x7b22726561736f6e73223a5b22617070726f76616c225d2c22756e74696c223a6e756c6c7d', '\x60826cb75c65d197dfdb769a785e915ee67fe242f7337f9a8e8d28fe3763753b', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values (2, 8, 1, 2, '', 1795231074408494, 0, 'w-09bced0cac63', 2, 1, '\x', '\x0a8479edfa037191e35c11c1b7abc708', '\x7b22776f726b6572223a22766d3a31303139222c2276657273696f6e223a2231222c22756e636c65616e223a307d', '\xf1c25637c9a23ab53090d29ed9dc6c14546d29be00429cb85af4a77f23fdff81', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values (2, 9, 1, 9, '', 1795231074409155, 0, 'w-09bced0cac63', 2, 1, '\x', '\x30ba65c0c82ffe231bb2941b2067d335', '\x7b226b696e64223a22616e73776572222c226e616d65223a2261736b222c226964223a22616e737765722d61736b222c2273656e646572223a22657665222c226174223a313739353233313037343430313537372c22626f6479223a7b22617070726f766564223a747275652c22726561736f6e223a6e756c6c2c2276616c7565223a6e756c6c7d7d', '\x73e09367c68da661a468595f1068a2afefa38695c13da0685d732be66b53b02b', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values (2, 10, 1, 3, 'ask', 1795231074409753, 0, 'w-09bced0cac63', 2, 1, '\x8c6e1411f40c06dc3e4876c3e42d6417', '\xd2bcfbc1538a667fb05f9f2818f6fe26', '\x7b2266726f6d223a397d', '\x26bd5d2958a8fc532a03d807b08af57e119a272e83e90281230e4b34dbd59aaf', null);
insert into perdure.entries (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash, blob) values (2, 11, 1, 16, '', 1795231074410509, 0, 'w-09bced0cac63', 2, 1, '\x', '\x64662058dacfae8bac9b4471d7d0f8ac', '\x7b22737461747573223a22737563636565646564222c22756e64656c697665726564223a5b5d2c22726573756c74223a2268656c6c6f20426f622054727565227d', '\xe3cbd724b149a10abb588e39dde1aaac47ebce4aa93409263af95863bbed9284', null);
insert into perdure.inbox (rid, n, kind, name, id, sender, at, body) values (2, 1, 'answer', 'ask', 'answer-ask', 'eve', 1795231074401577, '\x7b22617070726f766564223a747275652c22726561736f6e223a6e756c6c2c2276616c7565223a6e756c6c7d');
insert into perdure.approvals (rid, step, question, opened_at, due, show) values (1, 'ask', 'Send it?', 1795231074395920, null, '\x7b2273686f77223a2268656c6c6f20416461222c2263686f69636573223a6e756c6c7d');
select setval(pg_get_serial_sequence('perdure.runs', 'rid'), (select max(rid) from perdure.runs));
